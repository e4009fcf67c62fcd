KINDS: dict[str, int]
LEARNT: str
STATISTIC: str
COUNT: str
DIGITS: str
COUNT_BASE: int
