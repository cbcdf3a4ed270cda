//! Deep layers: many channels, a handful of tiles.
//!
//! There the transformed weights are four times as many numbers as the plain ones, each used for
//! only a few tiles: reading them takes longer than computing with them. So each thread reads the
//! plain weights and transforms a slice of the input channels at a time, into its cache.

use super::*;

/// More tiles than this reuse transformed weights often enough.
const MOST_TILES: usize = 128;
/// Transformed weights that stay in a core's cache from call to call need no streaming.
const FEWEST_WEIGHTS: usize = 36 * 256 * 256;
/// Input channels of a slice: as many as are summed in registers, so that the result is the same
/// as with packed weights, bit for bit.
const SLICE: usize = crate::kernels::gemm::FLUSH;
/// Panels of outputs of a group: their slice of U and their products share a core's cache.
const PANELS: usize = 8;
const M_FLOATS: usize = 160_000;

fn tiles(isa: Isa, p: Transform, g: &Geometry) -> usize {
    let m = algorithm(kernels_of(isa), p).m;
    g.batch * g.h.div_ceil(m) * g.w.div_ceil(m)
}

/// Whether plain weights are quicker than packed ones.
pub(crate) fn pays_to_stream(isa: Isa, p: Transform, g: &Geometry) -> bool {
    let points = algorithm(kernels_of(isa), p).a.pow(2);
    (1..=MOST_TILES).contains(&tiles(isa, p, g)) && points * g.inputs * g.outputs >= FEWEST_WEIGHTS
}

/// y = epilogue(conv(x, w)), with plain weights; for shapes that [`pays_to_stream`] names.
pub(crate) fn conv_streamed(
    isa: Isa,
    p: Transform,
    g: Geometry,
    source: Source,
    x: &[f32],
    y: &mut [f32],
    epilogue: RawEpilogue,
) {
    let k = kernels_of(isa);
    let f = algorithm(k, p);
    assert_eq!(x.len(), g.batch * g.inputs * g.h * g.w);
    assert_eq!(y.len(), g.batch * g.outputs * g.h * g.w);
    assert_eq!(source.w.len(), g.inputs * g.outputs * 9);
    let points = f.a * f.a;
    let total = tiles(isa, p, &g);
    assert!((1..=MOST_TILES).contains(&total) && g.inputs > 0);
    let panels = g.outputs.div_ceil(k.mr);
    let padded = total.next_multiple_of(k.lanes);
    let fitting = (M_FLOATS / (points * padded * k.mr)).clamp(1, PANELS);
    let group = k.mr * fitting.min(panels.div_ceil(2 * num_threads()));
    let groups = g.outputs.div_ceil(group);
    workspace::with(Slot::Zeros, g.w, |zeros| {
        let call = Call {
            k,
            f,
            g,
            total,
            block: total.next_multiple_of(k.nr),
            group,
            x: Shared::of(x),
            u: Shared::of(&[]),
            y: Shared::of_mut(y),
            zeros,
            epilogue,
        };
        workspace::with(Slot::Shared, points * call.v_step(), |v| {
            let v = Shared::of_mut(v);
            let slices = g.inputs.min(4 * num_threads());
            parallel_for(slices, |s| {
                call.with_plan(0, |plan| {
                    let [c0, c1] = [s, s + 1].map(|s| g.inputs * s / slices);
                    call.transform(plan, v.get(), c0, c1);
                });
            });
            parallel_for(groups, |i| {
                call.with_plan(0, |plan| call.stream(plan, v.get(), source, i));
            });
        });
    });
}

impl Call<'_> {
    /// Products and output for the outputs of group `group`, from plain weights.
    fn stream(&self, plan: &Plan, v: *const f32, source: Source, group: usize) {
        let (k, g, points) = (self.k, &self.g, self.points());
        let c0 = group * self.group;
        let count = self.group.min(g.outputs - c0);
        let tiles = plan.tiles.len();
        let (out_step, in_step) = source.steps(g.inputs, g.outputs);
        let weights = Shared::of(source.w);
        let slice = SLICE.min(g.inputs);
        let u_len = count.next_multiple_of(k.mr) * points * slice;
        workspace::with(Slot::Weights, u_len, |u| {
            workspace::with(Slot::Product, points * self.m_step(tiles), |m| {
                for k0 in (0..g.inputs).step_by(slice) {
                    let k1 = g.inputs.min(k0 + slice);
                    let panel = points * (k1 - k0) * k.mr;
                    for c in (0..count).step_by(k.mr) {
                        // SAFETY: the kernels of outputs below `outputs` and of the inputs k0..k1
                        // lie in the weights, whose length is asserted; `u` has room for a panel
                        // for each MR outputs.
                        unsafe {
                            (self.f.weight)(&Weight {
                                w: weights.get().add(k0 * in_step),
                                out_step,
                                in_step,
                                turned: source.transposed,
                                inputs: k1 - k0,
                                outputs: g.outputs,
                                o0: c0 + c,
                                panel: k.mr,
                                u: u.as_mut_ptr().add(c / k.mr * panel),
                            });
                        }
                    }
                    let mut ahead = [Ahead::none(), Ahead::none()];
                    // SAFETY: u holds the panels written just now, v all of V, m the group.
                    unsafe {
                        self.products(tiles, count, u.as_ptr(), v, [k0, k1], m, &mut ahead);
                    }
                }
                self.write(plan, m, [c0, count]);
            });
        });
    }
}
