"""A callback of LiteLLM's proxy that writes its records to Kafka, one JSON object each.

In the proxy's configuration: `litellm_settings: {callbacks: to_kafka.logger}`, with this file beside it. The brokers
and the topic are in KAFKA_BROKERS and KAFKA_TOPIC.
"""
import json
import os

from confluent_kafka import Producer
from litellm.integrations.custom_logger import CustomLogger


class ToKafka(CustomLogger):
    def __init__(self):
        super().__init__()
        self.topic = os.environ["KAFKA_TOPIC"]
        self.producer = Producer({"bootstrap.servers": os.environ["KAFKA_BROKERS"], "linger.ms": 50})

    # The proxy names these arguments.
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs)

    def write(self, kwargs):
        record = kwargs.get("standard_logging_object")
        if record is None:
            return
        # What was said is nobody's business here.
        record = {name: value for name, value in record.items() if name not in ("messages", "response")}
        self.producer.produce(self.topic, json.dumps(record, default=str), key=record["trace_id"])
        self.producer.poll(0)


logger = ToKafka()
