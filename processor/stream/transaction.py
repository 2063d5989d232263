"""The transactional producer: begin → produce → offsets → commit, and what its errors mean."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import starmap
from operator import length_hint
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from processor.kafka.authorization import denied
from processor.records import Partition, ProducerRecord

TWICE_THE_TRANSACTION_TIMEOUT = -1.0
RETRY_SECONDS = 60.0

T = TypeVar("T")

_REJOIN = (
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
)
_NEVER = (KafkaError.MSG_SIZE_TOO_LARGE,)
"""What a topic refuses however often it is sent: only an operator can mend that."""
_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)


class Aborted(Exception):
    """The transaction left no trace: drop the Step, rewind, try again."""


class OutcomeUnknown(Exception):
    """This producer cannot tell whether the transaction was committed: make a new producer."""


class Fatal(Exception):
    """The process cannot go on: fenced by a newer one, or an error without remedy."""


class Transactions:
    """Owns the one producer of a role and translates each of its errors.

    Example:
        >>> from confluent_kafka import Consumer
        >>> from processor.kafka.mock_broker import EmbeddedBroker
        >>> with EmbeddedBroker() as broker:
        ...     to = {"bootstrap.servers": broker.bootstrap}
        ...     config = to | {"transactional.id": "a", "transaction.timeout.ms": 10_000}
        ...     transactions = Transactions(config, turned=lambda: None)
        ...     transactions.start()
        ...     group = Consumer(to | {"group.id": "a"}).consumer_group_metadata()
        ...     verdict = ProducerRecord("anomalies", b"{}", b"p", 0)
        ...     transactions.commit([verdict], offsets={}, group=group)
        ...     transactions.discard()
    """

    def __init__(self, config: Mapping[str, Any], turned: Callable[[], None]) -> None:
        self._config = dict(config)
        # Never -1: librdkafka (2.16) takes it for "without end" when it commits or aborts.
        self._seconds = self._config["transaction.timeout.ms"] / 1000.0
        self._heartbeat = turned
        self._producer: Producer | None = None
        self._undelivered: KafkaError | None = None
        self._where = ""
        self._offsets, self._ending = BackgroundCall(), BackgroundCall()

    def start(self) -> None:
        """Make a producer; ends a transaction that an earlier process with the same id left open.

        Raises:
            OutcomeUnknown: the broker did not answer; to be tried again.
            Fatal: fenced, …
            KafkaException: an ACL is missing.
        """
        if self._producer is not None:
            return
        reports = {"on_delivery": self._delivered, "delivery.report.only.error": True}
        producer = Producer(self._config | reports)
        try:
            self._call(lambda: producer.init_transactions(TWICE_THE_TRANSACTION_TIMEOUT))
        except Aborted as error:
            raise OutcomeUnknown(str(error)) from error
        self._producer = producer

    def discard(self) -> None:
        """Drop the producer; the next ``start`` ends the transaction that it left open."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge(in_queue=True, in_flight=True)

    def commit(
        self,
        outputs: Sequence[ProducerRecord],
        offsets: Mapping[Partition, int],
        group: object,
        while_committing: Callable[[], None] | None = None,
        notes: Mapping[Partition, str] | None = None,
    ) -> None:
        """Write outputs and offsets in one transaction.

        Args:
            group: the consumer's metadata of the membership under which the outputs were computed;
                the coordinator refuses them once there is a newer generation (KIP-447).
            while_committing: called while the broker answers; it raises nothing.
            notes: metadata of the offsets.

        Raises:
            Aborted: nothing of it will ever be seen.
            OutcomeUnknown: make a new producer, then rewind to committed offsets.
            Fatal: the process must end.
            KafkaException: an ACL is missing.
        """
        producer = self._producer
        if producer is None:
            raise OutcomeUnknown("no producer")
        self._undelivered = None
        told = notes or {}
        try:
            self._call(producer.begin_transaction)
            places = [
                TopicPartition(*place, offset, told.get(place, ""))
                for place, offset in offsets.items()
            ]
            if while_committing is None:
                # Right behind another transaction the coordinator refuses what comes first. Of
                # offsets that is tried again at once, of records only after 20 ms.
                self._send_offsets(producer, places, group)
                self._produce(producer, outputs)
                self._end(producer)
            else:
                self._produce(producer, outputs)

                def end() -> None:
                    self._send_offsets(producer, places, group)
                    self._end(producer)

                self._ending.call(end)
                while_committing()
                self._ending.wait()
        except Aborted as error:
            self._abort(producer)
            reasons = (self._undelivered, *_reasons(error.__cause__))
            for reason in reasons:
                if reason is not None and denied(reason):
                    raise KafkaException(reason) from error
            if self._undelivered is not None and self._undelivered.code() in _NEVER:
                why = f"{self._where} refused a record: {self._undelivered.str()}"
                raise Fatal(f"{why}; compare: telltale topics check") from error
            raise Aborted(f"{error}{self._told()}") from error

    def _send_offsets(
        self, producer: Producer, places: list[TopicPartition], group: object
    ) -> None:
        self._call(
            lambda: self._bounded(lambda: producer.send_offsets_to_transaction(places, group))
        )

    def _end(self, producer: Producer) -> None:
        self._call(lambda: producer.commit_transaction(self._seconds))

    def _produce(self, producer: Producer, outputs: Sequence[ProducerRecord]) -> None:
        begin = 0
        while begin < len(outputs):
            left = iter(outputs[begin:] if begin else outputs)
            try:
                # Without a Python loop: of a batch's tens of thousands, each took a fifth longer.
                deque(starmap(producer.produce, left), maxlen=0)
                break
            except BufferError:
                # The one that was refused is tried again.
                begin = len(outputs) - length_hint(left) - 1
                producer.poll(0.1)
                self._heartbeat()
            except KafkaException as error:
                raise _translated(error) from error
        producer.poll(0)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        # What a transaction that fails purges is no reason for it.
        if error is not None and self._undelivered is None and error.code() not in _PURGED:
            self._undelivered = error
            self._where = f"{message.topic()} [{message.partition()}]"

    def _told(self) -> str:
        return "" if self._undelivered is None else f" ({self._where}: {self._undelivered.str()})"

    def _abort(self, producer: Producer) -> None:
        # It waits for requests in flight, which need not come back after a restart of the broker:
        # one try, for by then the broker has aborted the transaction itself.
        try:
            self._call(lambda: producer.abort_transaction(self._seconds), self._seconds)
        except Aborted as error:
            raise OutcomeUnknown(f"the abort failed: {error}") from error

    def _bounded(self, function: Callable[[], object]) -> None:
        """Call in another thread; a call that does not return is abandoned.

        Sending offsets ignores its time-out while the group's coordinator is away, and can hang for
        ever once librdkafka has dropped that broker (librdkafka issues 5456 and 5511). The
        transaction is over by then on the broker's side.
        """
        self._offsets.call(function)
        deadline = monotonic() + self._seconds
        while True:
            try:
                self._offsets.wait(1.0)
            except Empty:
                self._heartbeat()
                if monotonic() > deadline:
                    self._offsets = BackgroundCall()
                    raise OutcomeUnknown("sending the offsets did not come back") from None
            else:
                return

    def _call(self, function: Callable[[], T], patience: float = RETRY_SECONDS) -> T:
        """Call, and repeat the identical call while its error is retriable."""
        deadline = monotonic() + patience
        while True:
            try:
                return function()
            except KafkaException as error:
                self._heartbeat()
                if not error.args[0].retriable() or error.args[0].fatal():
                    raise _translated(error) from error
                if monotonic() > deadline:
                    raise OutcomeUnknown(
                        f"no answer for {patience:.0f} s: {_text(error)}"
                    ) from error


class BackgroundCall:
    """A single-thread executor whose thread is kept, and does not keep the process from exiting."""

    def __init__(self) -> None:
        self._given: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._ended: SimpleQueue[BaseException | None] = SimpleQueue()
        Thread(target=self._run, daemon=True).start()

    def call(self, function: Callable[[], object]) -> None:
        """Start a call; call ``wait`` next."""
        self._given.put(function)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the call returned, and raise what it raised.

        Args:
            timeout: in seconds.

        Raises:
            Empty: it has not returned within this time.
        """
        error = self._ended.get(timeout=timeout)
        if error is not None:
            raise error

    def _run(self) -> None:
        while True:
            # No name for it: a producer that it holds is to end when its owner lets go of it.
            self._ended.put(_raised(self._given.get()))


def _raised(function: Callable[[], object]) -> BaseException | None:
    try:
        function()
    except BaseException as error:
        return error
    return None


def _reasons(error: BaseException | None) -> tuple[KafkaError, ...]:
    return (error.args[0],) if isinstance(error, KafkaException) else ()


def _text(error: KafkaException) -> str:
    return f"{error.args[0].name()}: {error.args[0].str()}"


def _translated(error: KafkaException) -> Exception:
    """Which of the three outcomes an error means; the error itself if an ACL is missing."""
    reason = error.args[0]
    if denied(reason) and not reason.txn_requires_abort():
        denial: Exception = KafkaException(reason)
        return denial
    if reason.fatal() or reason.code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
        return Fatal(_text(error))
    if reason.txn_requires_abort() or reason.code() in _REJOIN:
        return Aborted(_text(error))
    if reason.code() in (KafkaError._TIMED_OUT, KafkaError._STATE, KafkaError._ALL_BROKERS_DOWN):
        return OutcomeUnknown(_text(error))
    if reason.code() in (KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC):
        # What a producer knows of topics may be half a minute old; what follows asks anew.
        return OutcomeUnknown(_text(error))
    return Fatal(_text(error))
