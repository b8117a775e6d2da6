//! Whose turn it is: the most urgent first, but nobody waits for ever.

use super::Priority;

/// Texts of more urgent jobs that may go before one of a job that waits, by priority. So while all
/// three wait, medium gets every fifth text and low every seventeenth.
const MOST_PASSED_OVER: [u32; 3] = [u32::MAX, 4, 16];

/// Counts who has been passed over.
#[derive(Debug, Default)]
pub(super) struct Turns {
    passed_over: [u32; 3],
}

impl Turns {
    /// The priority whose turn it is among those that wait, which are given in the order of
    /// [`Priority::ALL`]. `None` when none waits.
    pub(super) fn next(&mut self, waiting: [bool; 3]) -> Option<Priority> {
        let waits = |priority: &Priority| waiting[*priority as usize];
        let overdue = |priority: &Priority| {
            let place = *priority as usize;
            waits(priority) && self.passed_over[place] >= MOST_PASSED_OVER[place]
        };
        // The least urgent of those that are overdue has waited longest.
        let turn = Priority::ALL.into_iter().rev().find(overdue).or_else(|| Priority::ALL.into_iter().find(waits))?;
        for priority in Priority::ALL {
            let passed_over = &mut self.passed_over[priority as usize];
            *passed_over = if priority == turn || !waits(&priority) { 0 } else { passed_over.saturating_add(1) };
        }
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(waiting: [bool; 3], count: usize) -> Vec<Priority> {
        let mut turns = Turns::default();
        (0..count).map_while(|_| turns.next(waiting)).collect()
    }

    #[test]
    fn the_most_urgent_first_and_each_of_the_others_in_its_time() {
        let found = turns([true, true, true], 1700);
        assert_eq!(found[..4], [Priority::High; 4]);
        assert_eq!(found[4], Priority::Medium);
        let count = |priority| found.iter().filter(|found| **found == priority).count();
        let (high, medium, low) = (count(Priority::High), count(Priority::Medium), count(Priority::Low));
        assert_eq!(low, 100);
        assert!((310..=340).contains(&medium), "{medium} of 1700 turns for medium");
        assert_eq!(high + medium + low, 1700);
        let longest = found.split(|turn| *turn == Priority::Low).map(<[Priority]>::len).max();
        assert_eq!(longest, Some(16), "low waited longer than 16 turns");
    }

    #[test]
    fn who_is_alone_has_every_turn() {
        assert_eq!(turns([false, false, true], 3), [Priority::Low; 3]);
        assert_eq!(turns([false; 3], 3), []);
    }

    #[test]
    fn waiting_counts_from_when_it_began() {
        let mut turns = Turns::default();
        for _ in 0..100 {
            assert_eq!(turns.next([true, false, false]), Some(Priority::High));
        }
        assert_eq!(turns.next([true, false, true]), Some(Priority::High));
    }
}
