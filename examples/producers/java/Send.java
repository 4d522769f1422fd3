// Sends one order of each tenant that is named: java -cp 'JARS/*' Send.java acme globex
// JARS holds org.apache.kafka:kafka-clients and what it needs.
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

public class Send {
    // Made once, where the thing happens; the same event is sent again where sending fails.
    static ProducerRecord<String, String> usage(String topic, String tenant, String metric, String quantity) {
        String event = String.format(
            "{\"id\":\"%s\",\"tenant_id\":%s,\"metric\":%s,\"quantity\":\"%s\",\"timestamp\":\"%s\"}",
            UUID.randomUUID(), quoted(tenant), quoted(metric), quantity, Instant.now());
        return new ProducerRecord<>(topic, tenant, event);
    }

    // as JSON; an app takes its JSON library for the whole event
    static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    public static void main(String[] tenants) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", System.getenv().getOrDefault("METERLINE_KAFKA", "127.0.0.1:9092"));
        // idempotent, acks=all and murmur2 of the key are what this client does by default
        String topic = System.getenv().getOrDefault("METERLINE_TOPIC_PREFIX", "") + "usage.events";
        StringSerializer text = new StringSerializer();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, text, text)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (String tenant : tenants) {
                sent.add(producer.send(usage(topic, tenant, "orders", "1")));
            }
            for (Future<RecordMetadata> each : sent) {
                each.get(); // throws where Kafka did not take it
            }
        }
    }
}
