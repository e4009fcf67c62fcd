KINDS: dict[str, int]
LEARNT: str
STATISTIC: str
COUNT: str
