"""The index of words: what messages say, to be found however many there are."""
