//! A minimum cut of a grid: which of two labels each pixel takes, so that the sum of what pixels
//! and neighbours cost is least.
//!
//! The maximum flow is found by Dinic's algorithm ("Algorithm for solution of a problem of maximum
//! flow in networks with power estimation", 1970): the shortest ways first, all of a length at once.

/// A pixel has at most so many neighbours.
const SIDES: usize = 4;
/// No neighbour on that side.
pub(super) const NOBODY: u32 = u32::MAX;

/// Pixels and their neighbours. Sides come in pairs: who is on side s of a pixel has it on side
/// s ^ 1.
pub(super) struct Grid {
    pub neighbours: Vec<[u32; SIDES]>,
}

/// What the two labels cost.
pub(super) struct Costs {
    /// For each pixel, what the second label costs more than the first.
    pub second: Vec<i64>,
    /// For each pixel and side, at least 0: what it costs if it has the first label and the
    /// neighbour there the second.
    pub apart: Vec<[i64; SIDES]>,
}

impl Grid {
    /// All pairs of neighbours, once each, with the side of the first on which the second lies.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        (self.neighbours.iter().enumerate()).flat_map(|(p, neighbours)| {
            let one = move |side: usize| {
                let q = neighbours[side];
                (q != NOBODY).then_some((p, q as usize, side))
            };
            (1..SIDES).step_by(2).filter_map(one)
        })
    }

    /// Whether each pixel takes the second label, where the sum is least.
    pub fn cut(&self, costs: Costs) -> Vec<bool> {
        let Costs {
            // Flow that has come from the source and not gone on; below 0, what the sink still takes.
            second: mut excess,
            apart: mut room,
        } = costs;
        let count = self.neighbours.len();
        let mut distance = vec![u32::MAX; count];
        let mut queue = Vec::with_capacity(count);
        let mut sources = vec![];
        let mut next_side = vec![0u8; count];
        let mut way: Vec<(u32, u8)> = vec![];
        loop {
            self.measure(&excess, &room, &mut distance, &mut queue);
            sources.clear();
            let can_flow = |&i: &u32| excess[i as usize] > 0 && distance[i as usize] != u32::MAX;
            sources.extend((0..count as u32).filter(can_flow));
            if sources.is_empty() {
                // Who still reaches the sink lies on its side.
                return distance.iter().map(|&d| d != u32::MAX).collect();
            }
            next_side.fill(0);
            for &source in &sources {
                way.clear();
                let mut at = source;
                while excess[source as usize] > 0 {
                    let i = at as usize;
                    if excess[i] < 0 {
                        let mut flow = excess[source as usize].min(-excess[i]);
                        for &(from, side) in &way {
                            flow = flow.min(room[from as usize][side as usize]);
                        }
                        excess[source as usize] -= flow;
                        excess[i] += flow;
                        let mut full = None;
                        for (k, &(from, side)) in way.iter().enumerate().rev() {
                            let to = self.neighbours[from as usize][side as usize];
                            room[from as usize][side as usize] -= flow;
                            room[to as usize][(side ^ 1) as usize] += flow;
                            if room[from as usize][side as usize] == 0 {
                                full = Some(k);
                            }
                        }
                        // On from before the first narrow place.
                        if let Some(k) = full {
                            at = way[k].0;
                            way.truncate(k);
                        }
                        continue;
                    }
                    let side = next_side[i];
                    if usize::from(side) == SIDES {
                        // A dead end: back, and never here again.
                        let Some((from, _)) = way.pop() else {
                            break;
                        };
                        next_side[from as usize] += 1;
                        at = from;
                        continue;
                    }
                    let to = self.neighbours[i][usize::from(side)];
                    if to != NOBODY
                        && room[i][usize::from(side)] > 0
                        && distance[i].checked_sub(1) == Some(distance[to as usize])
                    {
                        way.push((at, side));
                        at = to;
                    } else {
                        next_side[i] += 1;
                    }
                }
            }
        }
    }

    /// How many steps each pixel is from one that the sink takes flow from; `u32::MAX` where there
    /// is no way.
    fn measure(
        &self,
        excess: &[i64],
        room: &[[i64; SIDES]],
        distance: &mut [u32],
        queue: &mut Vec<u32>,
    ) {
        queue.clear();
        for (i, distance) in distance.iter_mut().enumerate() {
            *distance = u32::MAX;
            if excess[i] < 0 {
                *distance = 0;
                queue.push(i as u32);
            }
        }
        let mut first = 0;
        while let Some(&to) = queue.get(first) {
            first += 1;
            for (side, &from) in self.neighbours[to as usize].iter().enumerate() {
                if from != NOBODY
                    && distance[from as usize] == u32::MAX
                    && room[from as usize][side ^ 1] > 0
                {
                    distance[from as usize] = distance[to as usize] + 1;
                    queue.push(from);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detail::field::mix;

    const WIDTH: usize = 4;
    const HEIGHT: usize = 3;

    fn grid() -> Grid {
        let at = |x: usize, y: usize| match x < WIDTH && y < HEIGHT {
            true => (y * WIDTH + x) as u32,
            false => NOBODY,
        };
        let beside = |i: usize| {
            let (x, y) = (i % WIDTH, i / WIDTH);
            let (left, above) = (x.wrapping_sub(1), y.wrapping_sub(1));
            [at(left, y), at(x + 1, y), at(x, above), at(x, y + 1)]
        };
        Grid {
            neighbours: (0..WIDTH * HEIGHT).map(beside).collect(),
        }
    }

    fn costs(seed: u64) -> Costs {
        let number = |i: usize, below: u64| (mix(seed << 16 ^ i as u64) % below) as i64;
        let apart = |i: usize| std::array::from_fn(|side| number(100 + 4 * i + side, 12) - 3);
        Costs {
            second: (0..WIDTH * HEIGHT).map(|i| number(i, 41) - 20).collect(),
            apart: (0..WIDTH * HEIGHT)
                .map(|i| apart(i).map(|cost: i64| cost.max(0)))
                .collect(),
        }
    }

    fn sum(grid: &Grid, costs: &Costs, second: &[bool]) -> i64 {
        let mut sum = 0;
        for (i, neighbours) in grid.neighbours.iter().enumerate() {
            if second[i] {
                sum += costs.second[i];
                continue;
            }
            for (side, &other) in neighbours.iter().enumerate() {
                if other != NOBODY && second[other as usize] {
                    sum += costs.apart[i][side];
                }
            }
        }
        sum
    }

    /// The expected sums are found by trying all choices.
    #[test]
    fn no_choice_costs_less() {
        let grid = grid();
        for seed in 0..50 {
            let choice = |bits: u32| -> Vec<bool> {
                (0..WIDTH * HEIGHT).map(|i| bits >> i & 1 == 1).collect()
            };
            let all = 0..1u32 << (WIDTH * HEIGHT);
            let least = all
                .map(|bits| sum(&grid, &costs(seed), &choice(bits)))
                .min();
            let found = sum(&grid, &costs(seed), &grid.cut(costs(seed)));
            assert_eq!(Some(found), least, "seed {seed}");
        }
    }
}
