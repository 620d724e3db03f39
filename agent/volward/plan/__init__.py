"""plan: a pure function of what the owner wants and what is there (no host, no clock, no logging).

It returns frozen actions, each with its reason, or the reason why there is nothing to do; it refuses danger
by raising. Nothing here changes or reads the host.
"""

from volward.plan.overwrite import as_if_blank, with_wipe
from volward.plan.scratch import plan_scratch
from volward.plan.volume import plan_volume

__all__ = ["as_if_blank", "plan_scratch", "plan_volume", "with_wipe"]
