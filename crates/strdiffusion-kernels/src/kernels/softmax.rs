//! The two softmaxes of linear attention.

use crate::simd::{Simd, exp, load_n, store_n, vectors};

/// Operands of [`row_max`] and [`row_exp`]: a row of `count` floats.
pub(crate) struct Row {
    pub count: usize,
    pub from: *const f32,
    /// [`row_exp`]: the result.
    pub to: *mut f32,
    /// [`row_exp`]: what is taken from the exponent, and the factor on the result.
    pub sub: f32,
    pub mul: f32,
    /// The maximum, or the sum of the result.
    pub value: *mut f32,
}

/// The largest element; −∞ for none.
///
/// # Safety
/// The pointers cover what the fields name, and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn row_max<S: Simd>(g: &Row) {
    // SAFETY: the contract; the stack rows hold 16 floats.
    unsafe {
        let whole = g.count / S::LANES * S::LANES;
        let mut max = S::splat(f32::NEG_INFINITY);
        vectors!(S, whole, |i, _n| {
            max = S::max(S::load(g.from.add(i)), max);
        });
        let mut lanes = [f32::NEG_INFINITY; 16];
        S::store(lanes.as_mut_ptr(), max);
        let mut value = f32::NEG_INFINITY;
        for lane in lanes {
            value = value.max(lane);
        }
        for i in whole..g.count {
            value = value.max(*g.from.add(i));
        }
        *g.value = value;
    }
}

/// to = mul·e^(from − sub), and its sum.
///
/// # Safety
/// As [`row_max`].
#[inline(always)]
pub(crate) unsafe fn row_exp<S: Simd>(g: &Row) {
    // SAFETY: the contract.
    unsafe {
        let (sub, mul) = (S::splat(g.sub), S::splat(g.mul));
        let mut sum = S::splat(0.0);
        let whole = g.count / S::LANES * S::LANES;
        vectors!(S, whole, |i, _n| {
            let e = S::mul(exp::<S>(S::sub(S::load(g.from.add(i)), sub)), mul);
            sum = S::add(sum, e);
            S::store(g.to.add(i), e);
        });
        let mut value = S::sum4([sum; 4])[0];
        if whole < g.count {
            let n = g.count - whole;
            let e = exp::<S>(S::sub(S::load_partial(g.from.add(whole), n), sub));
            S::store_partial(g.to.add(whole), n, S::mul(e, mul));
            for i in whole..g.count {
                value += *g.to.add(i);
            }
        }
        *g.value = value;
    }
}

/// Operands of [`columns`] and [`columns_back`]: `rows` rows of `count` floats.
pub(crate) struct Columns {
    pub rows: usize,
    pub count: usize,
    pub from: *const f32,
    pub from_step: usize,
    pub to: *mut f32,
    pub to_step: usize,
    /// [`columns_back`]: the gradient of the result.
    pub d: *const f32,
    pub d_step: usize,
}

/// Softmax down each column; `to` may be `from`.
///
/// # Safety
/// The pointers cover the rows, and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn columns<S: Simd>(g: &Columns) {
    // SAFETY: the contract.
    unsafe {
        vectors!(S, g.count, |i, n| {
            let mut max = S::splat(f32::NEG_INFINITY);
            for r in 0..g.rows {
                max = S::max(load_n::<S>(g.from.add(r * g.from_step + i), n), max);
            }
            let mut sum = S::splat(0.0);
            for r in 0..g.rows {
                let x = load_n::<S>(g.from.add(r * g.from_step + i), n);
                let e = exp::<S>(S::sub(x, max));
                sum = S::add(sum, e);
                store_n::<S>(g.to.add(r * g.to_step + i), n, e);
            }
            let inverse = S::div(S::splat(1.0), sum);
            for r in 0..g.rows {
                let p = g.to.add(r * g.to_step + i);
                store_n::<S>(p, n, S::mul(load_n::<S>(p, n), inverse));
            }
        });
    }
}

/// Through the softmax s (in `from`): to = s·(d − Σ s·d).
///
/// # Safety
/// As [`columns`].
#[inline(always)]
pub(crate) unsafe fn columns_back<S: Simd>(g: &Columns) {
    // SAFETY: the contract.
    unsafe {
        vectors!(S, g.count, |i, n| {
            let mut dot = S::splat(0.0);
            for r in 0..g.rows {
                let s = load_n::<S>(g.from.add(r * g.from_step + i), n);
                dot = S::fma(s, load_n::<S>(g.d.add(r * g.d_step + i), n), dot);
            }
            for r in 0..g.rows {
                let s = load_n::<S>(g.from.add(r * g.from_step + i), n);
                let d = S::sub(load_n::<S>(g.d.add(r * g.d_step + i), n), dot);
                store_n::<S>(g.to.add(r * g.to_step + i), n, S::mul(s, d));
            }
        });
    }
}
