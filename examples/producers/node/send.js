// Sends one order of each tenant that is named: npm ci && node send.js acme globex
import { randomUUID } from "node:crypto";
import { Kafka, Partitioners } from "kafkajs";

const prefix = process.env.METERLINE_TOPIC_PREFIX ?? "";
const kafka = new Kafka({
  clientId: "shop",
  brokers: (process.env.METERLINE_KAFKA ?? "127.0.0.1:9092").split(","),
});
const producer = kafka.producer({
  createPartitioner: Partitioners.DefaultPartitioner, // murmur2, as in Java
  idempotent: true,
  maxInFlightRequests: 1,
});

// Made once, where the thing happens; the same event is sent again where sending fails.
function usage(tenant, metric, quantity) {
  const event = {
    id: randomUUID(),
    tenant_id: tenant,
    metric,
    quantity, // a string: JSON numbers of JavaScript are binary fractions
    timestamp: new Date().toISOString(),
  };
  return { key: tenant, value: JSON.stringify(event) };
}

await producer.connect();
await producer.send({
  topic: prefix + "usage.events",
  acks: -1,
  messages: process.argv.slice(2).map((tenant) => usage(tenant, "orders", "1")),
});
await producer.disconnect();
