"""POP's policy, features extractor and algorithm, in SB3's idiom."""
