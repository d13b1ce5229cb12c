"""One training, several processes: each computes its share of every batch, and all make the same step.

    job's process (rank 0)                    helpers (rank 1 …)
    Crew   who has come, at each epoch        helping   ready, then as it is told
    Team ──────────── commands, sums of gradients ──────────── Team

The run is the one that rank 0 would make alone: the same batches in the same order, each photo varied by its own chance, and
gradients weighted so that their sum is that of the whole batch. What would make it another run (see `sharing`) is not shared.
Everything else is rank 0's: events, validation, checkpoints, the time. So who helps may change from epoch to epoch.
"""
