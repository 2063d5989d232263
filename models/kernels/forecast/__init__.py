"""Compiled kernels of the detector ``forecast``.

| module | what it does |
|---|---|
| ``layout`` | how model and state lie in memory |
| ``points`` | points in their order: statistics, p-values, and the state behind them |
| ``shapes`` | the last values compared with the past |
| ``rarity`` | statistics to p-values |
| ``weights`` | robust regression, for training |
"""
