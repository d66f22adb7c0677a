"""The time reversal of a noising process, and Tweedie's formula."""
