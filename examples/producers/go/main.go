// Sends one order of each tenant that is named: go run . acme globex
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Usage is an event, made once, where the thing happens; the same event is sent again where sending fails.
type Usage struct {
	ID        string `json:"id"`
	TenantID  string `json:"tenant_id"`
	Metric    string `json:"metric"`
	Quantity  string `json:"quantity"`
	Timestamp string `json:"timestamp"`
}

func record(tenant, metric, quantity string) (*kgo.Record, error) {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	value, err := json.Marshal(Usage{rand.Text(), tenant, metric, quantity, now})
	return &kgo.Record{Key: []byte(tenant), Value: value}, err
}

func main() {
	servers := os.Getenv("METERLINE_KAFKA")
	if servers == "" {
		servers = "127.0.0.1:9092"
	}
	// idempotent, acks=all and murmur2 of the key, as in Java, are what this client does by default
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(servers, ",")...),
		kgo.DefaultProduceTopic(os.Getenv("METERLINE_TOPIC_PREFIX")+"usage.events"),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for _, tenant := range os.Args[1:] {
		order, err := record(tenant, "orders", "1")
		if err != nil {
			log.Fatal(err)
		}
		client.Produce(context.Background(), order, func(_ *kgo.Record, err error) {
			if err != nil {
				log.Fatal(err)
			}
		})
	}
	if err := client.Flush(context.Background()); err != nil {
		log.Fatal(err)
	}
}
