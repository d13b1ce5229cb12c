"""Jobs on an existing Ray cluster, which `TRANSFER_STUDIO_RAY_ADDRESS` names.

    Supervisor ── Hands ── JSON lines ── driver ── Ray ── task ── jobs.worker.work
    web process                          a process         a worker process on some node

The queue, its leases and its fairness stay the studio's: a Ray task claims its job as a worker process of one machine does. Ray
only says where there is room, and when a task has died. Nothing here imports Ray but `driver` and `task`: a driver ends its
process when its cluster breaks off, and that must not be the web process.
"""
