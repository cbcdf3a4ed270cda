//! A mask in the making.

/// A mask in the making: takes hole pixels until the target is met, then refuses more.
pub(super) struct Canvas {
    pub width: usize,
    pub height: usize,
    pub keep: Vec<u8>,
    pub missing: usize,
}

impl Canvas {
    pub fn new(width: usize, height: usize, target: usize) -> Self {
        Self {
            width,
            height,
            keep: vec![1; width * height],
            missing: target,
        }
    }

    pub fn is_done(&self) -> bool {
        self.missing == 0
    }

    /// Digs one pixel; coordinates outside the canvas are ignored.
    pub fn dig(&mut self, x: i64, y: i64) {
        if self.missing == 0 || x < 0 || y < 0 {
            return;
        }
        let (x, y) = (x as usize, y as usize);
        if x >= self.width || y >= self.height {
            return;
        }
        let keep = &mut self.keep[y * self.width + x];
        self.missing -= usize::from(*keep);
        *keep = 0;
    }

    /// Widens the hole ring by ring until the target is met.
    pub fn grow(&mut self) {
        let (width, height) = (self.width as i64, self.height as i64);
        while !self.is_done() {
            let rim: Vec<(i64, i64)> = (0..height)
                .flat_map(|y| (0..width).map(move |x| (x, y)))
                .filter(|&(x, y)| {
                    let hole = |x: i64, y: i64| {
                        (0..width).contains(&x)
                            && (0..height).contains(&y)
                            && self.keep[(y * width + x) as usize] == 0
                    };
                    !hole(x, y)
                        && (hole(x - 1, y) || hole(x + 1, y) || hole(x, y - 1) || hole(x, y + 1))
                })
                .collect();
            if rim.is_empty() {
                // Nothing dug at all: start in the middle.
                self.dig(width / 2, height / 2);
            }
            for (x, y) in rim {
                self.dig(x, y);
            }
        }
    }
}
