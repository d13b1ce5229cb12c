"""What waits to be sent to a browser while a fragment begins to run."""

from __future__ import annotations

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from pages.shared.delivery import deliver_all


@pytest.fixture
def queue(monkeypatch) -> ForwardMsgQueue:
    monkeypatch.setattr(ForwardMsgQueue, "clear", ForwardMsgQueue.clear)  # put back afterwards
    deliver_all()
    deliver_all()  # a server reads its script twice, now and then
    return ForwardMsgQueue()


def drawn(text: str, place: int, fragment: str = "") -> ForwardMsg:
    message = ForwardMsg()
    message.metadata.delta_path.extend([0, place])
    message.delta.new_element.text.body = text
    message.delta.fragment_id = fragment
    return message


def finished() -> ForwardMsg:
    message = ForwardMsg()
    message.script_finished = ForwardMsg.FINISHED_SUCCESSFULLY
    return message


def sent(queue: ForwardMsgQueue) -> list[str]:
    return [message.delta.new_element.text.body or "end" for message in queue.flush()]


def test_a_whole_page_arrives_with_its_fragment_though_that_runs_again_at_once(queue):
    for message in (drawn("above", 0), drawn("fragment", 1, "f"), drawn("below", 2), finished()):
        queue.enqueue(message)
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=["f"])
    queue.enqueue(drawn("fragment anew", 1, "f"))
    assert sent(queue) == ["above", "fragment", "below", "end", "fragment anew"]


def test_a_page_that_is_drawn_anew_drops_what_waits(queue):
    queue.enqueue(drawn("old", 0))
    queue.enqueue(finished())
    queue.clear(retain_lifecycle_msgs=True)
    assert sent(queue) == ["end"]
    queue.enqueue(drawn("old", 0))
    queue.clear()
    assert sent(queue) == []
