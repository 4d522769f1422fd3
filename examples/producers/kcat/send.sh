#!/bin/sh
# Sends one order of each tenant that is named: sh send.sh acme globex
for tenant in "$@"; do
    id=$(cat /proc/sys/kernel/random/uuid)
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    printf '%s\t{"id":"%s","tenant_id":"%s","metric":"orders","quantity":"1","timestamp":"%s"}\n' \
        "$tenant" "$id" "$tenant" "$now"
done | kcat -P -b "${METERLINE_KAFKA:-127.0.0.1:9092}" -t "${METERLINE_TOPIC_PREFIX:-}usage.events" -K '\t' \
    -X partitioner=murmur2_random -X enable.idempotence=true
