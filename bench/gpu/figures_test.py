# SPDX-License-Identifier: Apache-2.0
"""Figures of series whose answer is known by construction."""
import unittest

from figures import Work, burst, error_floor, jain, mean_error, median_interval, percentile, settle, thin


def duty(quota, piece_s, seconds, begin=100.0, step=0.001):
    """A perfect gate: runs one piece, then waits until it is owed the next; a chunk is a second of work."""
    series, period = [], piece_s / quota
    for i in range(int(seconds / step) + 1):
        t = i * step
        whole, into = divmod(t, period)
        series.append((begin + t, whole * piece_s + min(into, piece_s)))
    return Work(series)


class Figures(unittest.TestCase):
    def test_samples_are_kept_as_steps_and_other_values_as_they_are(self):
        self.assertEqual(thin("laps 3\nsample 5000000 7\nsample 5002000 9\nsample 5010000 9\n"),
                         {"first_us": 5000, "first_chunk": 7, "us": [2, 8], "chunks": [2, 0]})
        self.assertEqual(thin({"a": ["1"]}), {"a": ["1"]})
        self.assertEqual(thin("laps 3\n"), "laps 3\n")

    def test_a_perfect_gate_has_no_bias_and_no_error_in_whole_periods(self):
        w = duty(0.5, 0.002, 4)
        self.assertAlmostEqual(w.share(100, 104), 0.5, places=3)
        self.assertLess(mean_error(w, 0.5, 100, 104, 0.1), 0.001)

    def test_an_on_off_gate_of_long_pieces_errs_by_at_most_twice_its_floor(self):
        w = duty(0.5, 0.04, 8)
        error = mean_error(w, 0.5, 100, 108, 0.1)
        self.assertGreater(error, 0.01)
        self.assertLessEqual(error, 2 * error_floor(0.04, 0.5, 0.1) + 0.001)

    def test_the_floor_is_all_or_nothing_for_pieces_longer_than_the_window(self):
        self.assertAlmostEqual(error_floor(10, 0.5, 0.1), 0.5)
        self.assertAlmostEqual(error_floor(0.001, 0.5, 0.1), 0.0025)

    def test_a_share_is_relative_to_the_rate_alone(self):
        self.assertAlmostEqual(Work([(0, 0), (1, 50), (2, 100)], solo_rate=100).share(0, 2), 0.5)

    def test_a_share_that_changes_settles_when_the_last_window_outside_the_band_is_over(self):
        w = Work([(0, 0), (1, 1), (3, 2)])  # all of the card for a second, then half
        self.assertAlmostEqual(settle(w, 0.5, 0, 3, 0.2), 1, delta=0.05)

    def test_a_share_that_stays_away_never_settles(self):
        self.assertIsNone(settle(Work([(0, 0), (3, 3)]), 0.5, 0, 3, 0.2))

    def test_a_second_of_the_whole_card_under_half_is_a_burst_of_half_a_second(self):
        self.assertAlmostEqual(burst(Work([(0, 0), (1, 1), (2, 1)]), 0.5, 0, 2), 0.5, places=2)

    def test_no_window_fits_a_series_shorter_than_it(self):
        self.assertIsNone(mean_error(Work([(0, 0), (0.05, 1)]), 0.5, 0, 0.05, 0.1))

    def test_fairness_is_one_for_equals_and_a_share_of_them_for_a_lone_winner(self):
        self.assertAlmostEqual(jain([2, 2, 2, 2]), 1)
        self.assertAlmostEqual(jain([1, 0, 0, 0]), 0.25)
        self.assertEqual(jain([0, 0]), 0)

    def test_percentiles_lie_between_the_ranks(self):
        self.assertEqual([percentile([4, 1, 3, 2], p) for p in (0, 50, 100)], [1, 2.5, 4])

    def test_the_interval_of_a_median_holds_it_and_is_the_same_each_time(self):
        samples = [i % 7 for i in range(60)]
        middle, low, high = median_interval(samples)
        self.assertTrue(low <= middle <= high)
        self.assertEqual(median_interval(samples), (middle, low, high))


if __name__ == "__main__":
    unittest.main()
