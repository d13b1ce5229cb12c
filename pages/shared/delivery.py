"""What a run of the script drew reaches the browser, whatever runs next."""

from __future__ import annotations

from functools import wraps

from streamlit.runtime.forward_msg_queue import ForwardMsgQueue


def deliver_all() -> None:
    """Let a fragment's run throw away nothing that waits to be sent.

    As a fragment begins to run, Streamlit drops what the same fragment drew before and is still waiting. If that was drawn by a
    whole run, the browser hears this run's end without its fragment: it takes the fragment's place away, everything below
    moves up by one, and what the fragment draws now replaces the element below it. A fragment that renews itself meets this
    whenever the machine is slow enough. Nothing needs dropping: the messages arrive in their order, and newer ones win.
    """
    clear = ForwardMsgQueue.clear
    if hasattr(clear, "__wrapped__"):
        return  # the server's script was read twice

    @wraps(clear)
    def clear_unless_fragment(queue: ForwardMsgQueue, retain_lifecycle_msgs: bool = False,
                              fragment_ids_this_run: list[str] | None = None) -> None:
        if fragment_ids_this_run is None:
            clear(queue, retain_lifecycle_msgs)
        else:
            queue._delta_index_map = {}  # what is drawn from now on is appended, and changes nothing that waits

    ForwardMsgQueue.clear = clear_unless_fragment
