//! How often a port's link went or came (`link_resets`). The kernel counts that, and tells of several in one message;
//! what was seen of the device before the message comes is not counted twice.

use super::device::DeviceKind;

/// The count.
#[derive(Debug, Default)]
pub struct LinkResets {
    n: i64,
    /// Nothing is counted.
    idle: bool,
    /// The kernel's own count of this device, where it has been told.
    kernel: Option<u32>,
    /// Changes seen that the kernel has not told of yet.
    ahead: u32,
    /// What the kernel told of last is yet to be seen.
    told: bool,
    /// The kernel's count has just been told for the first time: what is seen now is in it.
    begins: bool,
}

impl LinkResets {
    /// The count of a device. A dummy's changes are not counted, as in Open vSwitch.
    pub fn new(kind: DeviceKind) -> Self {
        Self { idle: kind == DeviceKind::Dummy, ..Self::default() }
    }

    /// How often.
    pub fn count(&self) -> i64 {
        self.n
    }

    /// The link is seen to be another than it was.
    pub fn saw_change(&mut self) {
        if !self.told && !self.idle {
            self.n += 1;
            self.ahead += u32::from(!self.begins);
        }
    }

    /// The kernel tells that the link has changed `total` times.
    pub fn told(&mut self, total: u32) {
        let Some(before) = self.kernel.replace(total) else {
            self.begins = true;
            return;
        };
        let since = total.wrapping_sub(before);
        self.n += i64::from(since.saturating_sub(self.ahead));
        self.ahead = self.ahead.saturating_sub(since);
        self.told = since > 0;
    }

    /// The device has been looked at since the kernel told of it.
    pub fn looked(&mut self) {
        (self.told, self.begins) = (false, false);
    }

    /// Another device comes next, with a count of its own.
    pub fn forget_device(&mut self) {
        (self.kernel, self.ahead, self.told, self.begins) = (None, 0, false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_change_told_of_is_in_the_first_count() {
        let mut resets = LinkResets::default();
        for (total, count) in [(3, 1), (4, 2), (5, 3)] {
            resets.told(total);
            resets.saw_change();
            resets.looked();
            assert_eq!(resets.count(), count, "{total}");
        }
    }

    #[test]
    fn every_change_counts_once() {
        // What is told, whether a change is seen then, and the count after that.
        let steps = [
            (Some(5), false, 0),
            (Some(6), true, 1),
            (Some(8), false, 3),
            // Seen before it is told.
            (None, true, 4),
            (Some(9), false, 4),
            (None, true, 5),
            (Some(12), true, 7),
            (Some(12), false, 7),
        ];
        let mut resets = LinkResets::default();
        for (i, (total, seen, count)) in steps.into_iter().enumerate() {
            total.into_iter().for_each(|total| resets.told(total));
            if seen {
                resets.saw_change();
            }
            resets.looked();
            assert_eq!(resets.count(), count, "step {i}");
        }
        resets.forget_device();
        resets.told(100);
        resets.saw_change();
        assert_eq!(resets.count(), 8);
    }
}
