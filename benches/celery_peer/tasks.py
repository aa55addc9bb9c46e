"""`message_validation` as a Celery task on RabbitMQ, with its results in MariaDB.

The addresses are CELERY_BROKER and CELERY_RESULTS. CELERY_PEER selects a configuration:

- `default`: the defaults of Celery. Publishing is not confirmed, a message is acknowledged before its
  task runs, and the queue is a durable classic queue.
- `confirmed`: the closest equivalent to the guarantees of the platform. Publishing is confirmed by the
  broker, a message is acknowledged when its result is stored (and redelivered if a process dies), and the
  queue is a quorum queue, with Celery's delayed delivery for retries. Each process prefetches up to 16
  messages.
"""

import os
import random

from celery import Celery

PAUSE = 4
LONGEST = 16 * 1024

app = Celery("celery_peer", broker=os.environ["CELERY_BROKER"], backend=os.environ["CELERY_RESULTS"])

if os.environ["CELERY_PEER"] == "confirmed":
    app.conf.update(
        broker_transport_options={"confirm_publish": True},
        task_default_queue="celery_confirmed",
        task_default_queue_type="quorum",
        task_default_exchange_type="topic",
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=16,
    )


@app.task(bind=True, max_retries=1)
def validate_message(self, user_id, message, number, request_count):
    """A number is good unless it is a multiple of ten; after a bad one, another is drawn 4 s later."""
    check(user_id, message, number, request_count)
    draws = self.request.retries + 1
    if draws == 1:
        if number % 10 == 0:
            raise self.retry(countdown=PAUSE)
        return {"category": "Direct", "number": number, "draws": draws}
    number = random.randint(1, 60)
    category = "Failed" if number % 10 == 0 else "Retried"
    return {"category": category, "number": number, "draws": draws}


def check(user_id, message, number, request_count):
    """Validates a message like the platform."""
    if not isinstance(user_id, str):
        raise ValueError("`user_id` is not a string")
    if not isinstance(message, str) or not message.strip():
        raise ValueError("`message` is not a string, or empty")
    if len(message.encode()) > LONGEST:
        raise ValueError("`message` is too long")
    if not isinstance(number, int) or not 1 <= number <= 60:
        raise ValueError("`number` is not between 1 and 60")
    if not isinstance(request_count, int) or request_count < 1:
        raise ValueError("`request_count` is not a positive integer")
