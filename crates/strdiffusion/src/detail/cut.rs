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
        let count = self.neighbours.len();
        let mut flow = Flow {
            grid: self,
            excess: costs.second,
            room: costs.apart,
            distance: vec![u32::MAX; count],
            next_side: vec![0; count],
            way: vec![],
        };
        loop {
            flow.measure();
            let is_source = |&i: &usize| flow.excess[i] > 0 && flow.distance[i] != u32::MAX;
            let sources: Vec<usize> = (0..count).filter(is_source).collect();
            if sources.is_empty() {
                // Who still reaches the sink lies on its side.
                return flow.distance.iter().map(|&d| d != u32::MAX).collect();
            }
            flow.next_side.fill(0);
            for source in sources {
                flow.push_from(source);
            }
        }
    }
}

/// A flow from pixels that would rather have the first label to those that would rather have the
/// second, as far as neighbours let it through.
struct Flow<'a> {
    grid: &'a Grid,
    /// What a pixel has still to give; below 0, what it can still take.
    excess: Vec<i64>,
    /// What can still flow to each neighbour.
    room: Vec<[i64; SIDES]>,
    /// Steps from a pixel that can take; `u32::MAX` where there is no way.
    distance: Vec<u32>,
    /// The side of each pixel to be tried next; those before lead nowhere.
    next_side: Vec<usize>,
    /// Pixels and sides on the way from a source.
    way: Vec<(usize, usize)>,
}

impl Flow<'_> {
    fn measure(&mut self) {
        let mut queue = vec![];
        for (i, distance) in self.distance.iter_mut().enumerate() {
            *distance = u32::MAX;
            if self.excess[i] < 0 {
                *distance = 0;
                queue.push(i);
            }
        }
        let mut first = 0;
        while let Some(&to) = queue.get(first) {
            first += 1;
            for (side, &from) in self.grid.neighbours[to].iter().enumerate() {
                let i = from as usize;
                if from != NOBODY && self.distance[i] == u32::MAX && self.room[i][side ^ 1] > 0 {
                    self.distance[i] = self.distance[to] + 1;
                    queue.push(i);
                }
            }
        }
    }

    /// Sends what `source` has by shortest ways, until it has no more or there are none.
    fn push_from(&mut self, source: usize) {
        self.way.clear();
        let mut at = source;
        while self.excess[source] > 0 {
            if self.excess[at] < 0 {
                at = self.fill(source, at);
                continue;
            }
            let side = self.next_side[at];
            if side == SIDES {
                // A dead end: back, and never here again.
                let Some((from, _)) = self.way.pop() else {
                    return;
                };
                self.next_side[from] += 1;
                at = from;
                continue;
            }
            let to = self.grid.neighbours[at][side];
            let leads_on = to != NOBODY
                && self.room[at][side] > 0
                && self.distance[at].checked_sub(1) == Some(self.distance[to as usize]);
            if leads_on {
                self.way.push((at, side));
                at = to as usize;
            } else {
                self.next_side[at] += 1;
            }
        }
    }

    /// Sends along the way what its narrowest place lets through; and from where to go on: before
    /// the first place that is full now.
    fn fill(&mut self, source: usize, sink: usize) -> usize {
        let room = self.way.iter().map(|&(from, side)| self.room[from][side]);
        let ends = self.excess[source].min(-self.excess[sink]);
        let flow = room.fold(ends, i64::min);
        self.excess[source] -= flow;
        self.excess[sink] += flow;
        let mut full = None;
        for (k, &(from, side)) in self.way.iter().enumerate() {
            let to = self.grid.neighbours[from][side] as usize;
            self.room[from][side] -= flow;
            self.room[to][side ^ 1] += flow;
            if self.room[from][side] == 0 && full.is_none() {
                full = Some(k);
            }
        }
        let Some(k) = full else {
            return sink;
        };
        let (from, _) = self.way[k];
        self.way.truncate(k);
        from
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
