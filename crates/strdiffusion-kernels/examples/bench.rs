//! Times the kernels on the network's shapes: `cargo run --release --example bench [FILTER]
//! [--cpu | --best] [--quick]`.
//! Medians in ms and GFLOP/s of the direct convolution, on all threads; with `--cpu`, the time that
//! one thread has spent computing (Linux), which other programs disturb less; with `--best`, the best
//! of more runs instead of the median; with `--quick`, convolutions with packed weights only.

use std::sync::OnceLock;
use std::time::Instant;
use strdiffusion_kernels::*;

#[global_allocator]
static ALLOCATOR: Recycler = Recycler;

#[derive(Clone, Copy, PartialEq)]
enum How {
    Median,
    Best,
    Cpu,
}

/// Time in ms: since some start, or what this thread has computed.
fn now(cpu: bool) -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    if cpu {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let ns = stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
        return ns.expect("--cpu needs Linux") / 1e6;
    }
    START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3
}

fn measure(how: How, mut f: impl FnMut()) -> f64 {
    let cpu = how == How::Cpu;
    f();
    f();
    if cpu {
        // That clock has coarse ticks.
        let (start, mut runs) = (now(cpu), 0);
        while runs < 5 || now(cpu) - start < 200.0 {
            f();
            runs += 1;
        }
        return (now(cpu) - start) / f64::from(runs);
    }
    let runs = if how == How::Best { 40 } else { 11 };
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = now(cpu);
            f();
            now(cpu) - start
        })
        .collect();
    times.sort_by(f64::total_cmp);
    if how == How::Best {
        times[0]
    } else {
        times[times.len() / 2]
    }
}

fn numbers(n: usize) -> Vec<f32> {
    let mut state = 1u64;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn main() {
    let mut filter = String::new();
    let mut how = How::Median;
    let mut quick = false;
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--cpu" => how = How::Cpu,
            "--best" => how = How::Best,
            "--quick" => quick = true,
            _ => filter = arg,
        }
    }
    if how == How::Cpu {
        set_num_threads(1);
    }
    println!("{:?}, {} threads", Isa::current(), num_threads());
    println!(
        "{:32} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} | bf16 {:>6} {:>8} {:>8}",
        "shape (ms)",
        "packed",
        "GFLOP/s",
        "silu+res",
        "precise",
        "fwd",
        "dx",
        "dw",
        "fwd",
        "dx",
        "dw"
    );
    for (n, c, h, o, k, s, p) in [
        (1, 64, 256, 64, 3, 1, 1),
        (1, 128, 256, 64, 3, 1, 1),
        (1, 128, 128, 128, 3, 1, 1),
        (1, 256, 64, 256, 3, 1, 1),
        (1, 512, 32, 512, 3, 1, 1),
        (1, 1024, 16, 1024, 3, 1, 1),
        (1, 1024, 32, 1024, 3, 1, 1),
        (1, 1536, 32, 1024, 3, 1, 1),
        (1, 384, 128, 256, 3, 1, 1),
        (1, 6, 256, 64, 7, 1, 3),
        (1, 64, 256, 128, 4, 2, 1),
        (1, 256, 64, 512, 4, 2, 1),
        (1, 128, 256, 64, 1, 1, 0),
        (1, 1, 256, 16, 3, 1, 1),
        (1, 64, 256, 3, 3, 1, 1),
        (1, 64, 256, 384, 1, 1, 0),
        (1, 192, 256, 128, 1, 1, 0),
        (1, 192, 256, 128, 3, 1, 1),
        (1, 768, 64, 512, 1, 1, 0),
        // training
        (16, 32, 128, 32, 3, 1, 1),
        (16, 64, 64, 64, 3, 1, 1),
        (16, 128, 32, 128, 3, 1, 1),
        (16, 256, 16, 256, 3, 1, 1),
        (16, 512, 8, 512, 3, 1, 1),
        (8, 32, 64, 32, 3, 1, 1),
        (8, 64, 32, 64, 3, 1, 1),
        (8, 128, 16, 128, 3, 1, 1),
        (8, 256, 8, 256, 3, 1, 1),
        (8, 6, 64, 32, 7, 1, 3),
        (8, 32, 64, 64, 4, 2, 1),
        (8, 128, 16, 256, 4, 2, 1),
        (8, 64, 64, 32, 1, 1, 0),
        (4, 64, 128, 64, 3, 1, 1),
    ] {
        let shape = Conv2dShape::new([n, c, h, h], o, k, s, p);
        let name = format!("{n}x {k}x{k} s{s} {c}->{o} @{h}");
        if !name.contains(&filter) {
            continue;
        }
        let (x, w) = (numbers(shape.input_len()), numbers(shape.weight_len()));
        let mut y = vec![0f32; shape.output_len()];
        let residual = numbers(y.len());
        let none = Epilogue::default();
        let full = Epilogue {
            silu: true,
            residual: Some(&residual),
            ..none
        };
        let size = [n, h, h];
        let fast = PackedConv::new(&shape, &w, Precision::Fast);
        let precise = PackedConv::new(&shape, &w, Precision::Precise);
        let packed = measure(how, || fast.forward(size, &x, &none, &mut y));
        if quick {
            let plain = measure(how, || {
                conv2d(&shape, &x, &w, &none, Precision::Fast, &mut y)
            });
            println!(
                "{name:32} {packed:8.2} {:8.0} {plain:8.2}",
                shape.flops() / packed / 1e6
            );
            continue;
        }
        let fused = measure(how, || fast.forward(size, &x, &full, &mut y));
        let exact = measure(how, || precise.forward(size, &x, &none, &mut y));
        let forward = measure(how, || {
            conv2d(&shape, &x, &w, &none, Precision::Fast, &mut y)
        });
        let (mut dx, mut dw) = (vec![0f32; x.len()], vec![0f32; w.len()]);
        let mut gradients = |precision| {
            [
                measure(how, || {
                    conv2d_input_grad(&shape, &residual, &w, precision, &mut dx)
                }),
                measure(how, || {
                    conv2d_weight_grad(&shape, &x, &residual, precision, &mut dw)
                }),
            ]
        };
        let [input, weight] = gradients(Precision::Fast);
        let [input16, weight16] = gradients(Precision::Bf16);
        let bf16 = PackedConv::new(&shape, &w, Precision::Bf16);
        let packed16 = measure(how, || bf16.forward(size, &x, &none, &mut y));
        println!(
            "{name:32} {packed:8.2} {:8.0} {fused:8.2} {exact:8.2} {forward:8.2} {input:8.2} \
             {weight:8.2} | {packed16:11.2} {input16:8.2} {weight16:8.2}",
            shape.flops() / packed / 1e6
        );
    }
    println!("\n{:32} {:>8} {:>8}", "other (ms)", "forward", "backward");
    for (n, c, h) in [(1, 64, 256), (1, 256, 64), (1, 1024, 16), (8, 64, 32)] {
        let shape = MapShape {
            batch: n,
            channels: c,
            positions: h * h,
        };
        let report = |name: &str, forward: f64, backward: f64| {
            println!(
                "{:32} {forward:8.2} {backward:8.2}",
                format!("{n}x {name} {c} @{h}")
            );
        };
        let (x, dy) = (numbers(shape.len()), numbers(shape.len()));
        let (mut y, mut dx) = (vec![0f32; x.len()], vec![0f32; x.len()]);
        let wanted = |name: &str| format!("{n}x {name} {c} @{h}").contains(&filter);
        if wanted("linear attention") {
            let s = AttentionShape {
                batch: n,
                heads: 4,
                dim: 32,
                positions: h * h,
            };
            let (qkv, dout) = (numbers(s.qkv_len()), numbers(s.out_len()));
            let (mut out, mut dqkv) = (vec![0f32; s.out_len()], vec![0f32; s.qkv_len()]);
            let mut state = vec![0f32; s.state_len()];
            let forward = measure(how, || linear_attention(&s, &qkv, &mut out, &mut state));
            let backward = measure(how, || {
                linear_attention_backward(&s, &qkv, &state, &dout, &mut dqkv)
            });
            report("linear attention", forward, backward);
        }
        if wanted("attention block") {
            let (gain, qkv, out) = (numbers(c), numbers(384 * c), numbers(128 * c));
            let w = AttentionWeights {
                heads: 4,
                dim: 32,
                pre_gain: &gain,
                qkv: &qkv,
                out: &out,
                out_bias: Some(&gain),
                post_gain: &gain,
                epsilon: 1e-5,
            };
            let forward = measure(how, || attention_block(&shape, &w, &x, &mut y));
            report("attention block", forward, f64::NAN);
        }
        if wanted("layer norm") {
            let (gain, mut dgain) = (numbers(c), vec![0f32; c]);
            let forward = measure(how, || layer_norm(&shape, &x, &gain, 1e-5, None, &mut y));
            let backward = measure(how, || {
                layer_norm_backward(&shape, &x, &gain, 1e-5, &dy, &mut dx, &mut dgain);
            });
            report("layer norm", forward, backward);
        }
        if wanted("spade") {
            let (gamma, beta) = (numbers(x.len()), numbers(x.len()));
            let (mut dgamma, mut dbeta) = (vec![0f32; x.len()], vec![0f32; x.len()]);
            let forward = measure(how, || spade(&shape, &x, &gamma, &beta, 1e-5, 0.2, &mut y));
            let backward = measure(how, || {
                let grads = SpadeGrads {
                    dx: &mut dx,
                    dgamma: &mut dgamma,
                    dbeta: &mut dbeta,
                };
                spade_backward(&shape, &x, &gamma, &beta, 1e-5, 0.2, &dy, grads);
            });
            report("spade", forward, backward);
        }
        if wanted("silu") {
            let forward = measure(how, || modulate_silu(&shape, &x, None, None, &mut y));
            let backward = measure(how, || {
                let grads = ModulateGrads {
                    dx: &mut dx,
                    dscale: None,
                    dshift: None,
                };
                modulate_silu_backward(&shape, &x, None, None, &dy, grads);
            });
            report("silu", forward, backward);
        }
    }
}
