"""The frozen-prefix engine: what is frozen and given the same photo says the same, so it is computed once.

    cut      the model in two at the first trainable unit
    engine   the first half as fast as this machine can
    fill     every photo through it once, into the store of activations (`transfer_core.activations`)
    plan     whether that repays, and what it takes
"""
