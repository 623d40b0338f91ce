"""How long requests wait for a place: one queue before so many places that work alike. Pure.

- Who waits, and how long where times between arrivals and times of service are exponential: Erlang's C (A. K. Erlang,
  1917; L. Kleinrock, Queueing Systems I, 1975, section 3.5), computed by the stable recursion of Erlang's B.
- Other variability: the mean wait of M/M/c times half the sum of the squared coefficients of variation (A. O. Allen,
  Probability, Statistics and Queueing Theory, 2nd edition 1990, section 5.4, the Allen-Cunneen approximation); for one
  place and Poisson arrivals that is the exact Pollaczek-Khinchine formula.
- The tail: who waits at all waits exponentially, which is exact for M/M/c and an approximation elsewhere.

Assumed: requests come whether or not others wait, are taken in order, nobody gives up, and the rate is a steady one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Queue:
    """`places` requests are answered at a time; seconds, and requests a second.

    `arrivals_scv` and `service_scv` are squared coefficients of variation: 0 even, 1 those of an exponential time.
    """

    places: int
    arrivals_per_second: float
    service_s: float
    arrivals_scv: float = 1.0
    service_scv: float = 1.0

    @property
    def offered(self) -> float:
        """Places that are taken on average, were there enough of them."""
        return self.arrivals_per_second * self.service_s

    @property
    def load(self) -> float:
        """Share of the places that is taken; from 1 on the queue grows without end."""
        return self.offered / self.places

    @property
    def waiting_share(self) -> float:
        """Of all requests those that do not find a free place: Erlang's C."""
        if self.load >= 1:
            return 1.0
        blocked = 1.0
        for places in range(1, self.places + 1):
            blocked = self.offered * blocked / (places + self.offered * blocked)
        return blocked / (1 - self.load * (1 - blocked))

    @property
    def mean_wait_s(self) -> float:
        """Of all requests, also of those that do not wait."""
        return self.waiting_share * self._wait_of_the_waiting_s

    def wait_s(self, share: float) -> float:
        """What this share of the requests does not exceed, such as 0.95."""
        waiting = self.waiting_share
        if waiting <= 1 - share:
            return 0.0
        return self._wait_of_the_waiting_s * math.log(waiting / (1 - share))

    @property
    def _wait_of_the_waiting_s(self) -> float:
        if self.load >= 1:
            return math.inf
        variability = (self.arrivals_scv + self.service_scv) / 2
        return variability * self.service_s / (self.places * (1 - self.load))
