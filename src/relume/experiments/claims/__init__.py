"""The experiments themselves: each module holds claims, how they are measured, and their rules."""
