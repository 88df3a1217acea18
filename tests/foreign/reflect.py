"""A gRPC client that knows nothing of the contract beforehand: everything it says it
has learnt from the server's reflection. Usage: reflect.py HOST:PORT KEY USER"""

import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


class Service:
    """Calls a service's unary methods by name, with messages as dictionaries."""

    def __init__(self, channel, pool, name, key):
        self.channel = channel
        self.methods = pool.FindServiceByName(name).methods_by_name
        self.metadata = [("authorization", f"Bearer {key}")]

    def call(self, method, message):
        descriptor = self.methods[method]
        request = json_format.ParseDict(message, GetMessageClass(descriptor.input_type)())
        answer = GetMessageClass(descriptor.output_type)
        rpc = self.channel.unary_unary(
            f"/{descriptor.containing_service.full_name}/{method}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return json_format.MessageToDict(rpc(request, metadata=self.metadata, timeout=10))


def main(address, key, user):
    channel = grpc.insecure_channel(address)
    database = ProtoReflectionDescriptorDatabase(channel)
    names = set(database.get_services())
    assert "attune.gateway.v1.PersonalizationService" in names, names
    pool = DescriptorPool(database)

    collection = Service(channel, pool, "attune.gateway.v1.CollectionService", key)
    event = {"userId": user, "event": "Product Viewed", "properties": {"product_id": "boots-1"}}
    assert collection.call("Track", event)["success"]

    personalization = Service(channel, pool, "attune.gateway.v1.PersonalizationService", key)
    question = {
        "subject": {"userId": user},
        "channel": "web",
        "placements": [{"placement": "home", "count": 5}],
    }
    answer = personalization.call("Personalize", question)
    slots = answer["placements"][0]["slots"]
    assert len(slots) == 5, answer
    assert any(
        reason.get("relatedItemId") == "boots-1" or slot["item"]["itemId"] == "boots-1"
        for slot in slots
        for reason in slot["reasons"]
    ), answer

    try:
        personalization.call("Personalize", {"channel": "web"})
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        assert b"INVALID_FIELDS" in details and b"placements" in details, details
    else:
        raise AssertionError("a question without a subject must be refused")
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
