// The counterpart of the run `sampling`: Kafka Streams doing the same deltas and the same sampling on the same rows, set up as
// somebody who knows it would. Part of the bench, not of the product.
//
// java -cp '<Kafka>/libs/*' Streams.java BOOTSTRAP THREADS APPLICATION STATE_DIRECTORY ROWS

import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.apache.kafka.streams.state.Stores;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.BloomFilter;
import org.rocksdb.Cache;
import org.rocksdb.CompressionType;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;

public class Streams {
    static final String INPUT = "dbintel.raw.queries";
    static final String OUTPUT = "bench.streams.output";
    static final AtomicLong FORWARDED = new AtomicLong();

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0], threads = arguments[1], application = arguments[2];
        long rows = Long.parseLong(arguments[4]);
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            if (!admin.listTopics().names().get().contains(OUTPUT)) {
                admin.createTopics(List.of(new NewTopic(OUTPUT, 4, (short) 1))).all().get();
            }
            CountDownLatch running = new CountDownLatch(1);
            KafkaStreams streams = new KafkaStreams(topology(), settings(bootstrap, threads, application, arguments[3]));
            streams.setStateListener((now, before) -> {
                if (now == KafkaStreams.State.RUNNING) running.countDown();
            });
            streams.start();
            running.await();
            long began = System.nanoTime(), cpu = cpu();
            while (committed(admin, application) < rows) Thread.sleep(20);
            double seconds = (System.nanoTime() - began) / 1e9;
            System.out.printf(Locale.ROOT, "{\"rows\":%d,\"rows_per_second\":%.1f,\"cpu_seconds_per_million_rows\":%.3f,"
                + "\"rss_mebibytes\":%d,\"commit_ms\":0,\"forwarded\":%d}%n",
                rows, rows / seconds, (cpu() - cpu) / 1e9 / rows * 1e6, memory(), FORWARDED.get());
            System.err.printf("%s: %d rows forwarded%n", application, FORWARDED.get());
            streams.close();
        }
    }

    static Topology topology() {
        var store = Stores.keyValueStoreBuilder(
            Stores.persistentKeyValueStore("baselines"), Serdes.String(), Serdes.ByteArray()).withCachingEnabled();
        return new Topology()
            .addSource("raw", new ByteArrayDeserializer(), new ByteArrayDeserializer(), INPUT)
            .addProcessor("delta", Delta::new, "raw")
            .addStateStore(store, "delta")
            .addSink("kept", OUTPUT, new ByteArraySerializer(), new ByteArraySerializer(), "delta");
    }

    static Properties settings(String bootstrap, String threads, String application, String directory) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, directory);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "200");
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 192L << 20);
        settings.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, Tuned.class);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), "10000");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), "8388608");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), "5");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), "524288");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), "67108864");
        return settings;
    }

    static long committed(Admin admin, String application) throws Exception {
        var offsets = admin.listConsumerGroupOffsets(application).partitionsToOffsetAndMetadata().get();
        return offsets.entrySet().stream().filter(at -> at.getKey().topic().equals(INPUT) && at.getValue() != null)
            .mapToLong(at -> at.getValue().offset()).sum();
    }

    static long cpu() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    static long memory() throws Exception {
        String line = Files.readAllLines(Path.of("/proc/self/status")).stream().filter(of -> of.startsWith("VmHWM")).findFirst().get();
        return Long.parseLong(line.replaceAll("\\D", "")) / 1024;
    }

    /** One cache of blocks for all tasks, filters, and buffers that hold what some commits write. */
    public static class Tuned implements RocksDBConfigSetter {
        static final Cache CACHE = new LRUCache(64 << 20);

        @Override
        public void setConfig(String store, Options options, Map<String, Object> settings) {
            BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
            table.setBlockCache(CACHE).setFilterPolicy(new BloomFilter(10));
            options.setTableFormatConfig(table).setWriteBufferSize(32 << 20).setMaxWriteBufferNumber(3)
                .setCompressionType(CompressionType.LZ4_COMPRESSION);
        }

        @Override
        public void close(String store, Options options) {}
    }

    /** Deltas of cumulative counters, and eight rules on them. */
    static class Delta implements Processor<byte[], byte[], byte[], byte[]> {
        static final int COUNTERS = 28;
        static final byte[] SALT = "dbintel".getBytes(StandardCharsets.UTF_8);
        // Eight rules: field and limit, in the units of the counters; the rate in per cent.
        static final int CALLS = 0, ROWS = 1, TIME = 2, READ = 6, WRITTEN = 8, TEMPORARY = 14, READ_TIME = 15, WRITE_TIME = 16, WAL = 23;
        final byte[] out = new byte[4096];
        ProcessorContext<byte[], byte[]> context;
        KeyValueStore<String, byte[]> baselines;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            this.baselines = context.getStateStore("baselines");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            Avro raw = new Avro(record.value(), 10);
            byte[] id = raw.bytes(16);
            raw.string();
            String target = raw.string();
            raw.map();
            int describes = raw.at;
            for (int text = 0; text < 4; text++) raw.string();
            for (int nullable = 0; nullable < 3; nullable++) raw.nullable();
            raw.number();
            long poll = raw.number(), observedAt = raw.number();
            raw.nullable();
            Long interval = raw.nullable();
            String database = raw.nullableString(), databaseId = raw.string();
            String user = raw.nullableString(), userId = raw.string(), query = raw.string();
            int toplevel = raw.nullableFlag();
            raw.nullable();
            raw.at++;
            Long shortest = raw.nullable(), longest = raw.nullable();
            long[] now = new long[COUNTERS];
            int present = 0;
            for (int field = 0; field < COUNTERS; field++) {
                Long value = raw.nullable();
                if (value != null) {
                    now[field] = value;
                    present |= 1 << field;
                }
            }
            String key = target + '\u001f' + databaseId + '\u001f' + userId + '\u001f' + query + '\u001f' + toplevel;
            byte[] known = baselines.get(key);
            long[] total = new long[COUNTERS], delta = new long[COUNTERS];
            if (known == null) {
                baselines.put(key, state(poll, observedAt, present, now, total));
                return;
            }
            Avro before = new Avro(known, 0);
            if (before.number() >= poll) return;
            before.number();
            boolean comparable = before.number() == present, moved = false;
            for (int field = 0; field < COUNTERS; field++) {
                if ((present >> field & 1) == 0) continue;
                delta[field] = now[field] - before.number();
                comparable &= delta[field] >= 0;
                moved |= delta[field] != 0;
            }
            for (int field = 0; field < COUNTERS; field++) {
                if ((present >> field & 1) == 1) total[field] = before.number() + (comparable ? delta[field] : 0);
            }
            baselines.put(key, state(poll, observedAt, present, now, total));
            if (comparable && !moved) return;
            double rate = comparable ? rate(delta) : 100;
            long coin = coin(id);
            if (comparable && coin >= (long) (rate / 100 * (1L << 56))) return;
            FORWARDED.incrementAndGet();
            Writer writer = new Writer(out).raw(record.value(), 10, 16).string("main").number(context.recordMetadata().get().offset())
                .string("postgresql").string(target).raw(record.value(), describes, describesEnd(record.value(), describes))
                .number(observedAt).nullable(interval).number(rate == 10 ? 0 : 1).real(rate / 100).number(coin).real(100 / rate)
                .string(database == null ? "" : database).string(databaseId).string(user == null ? "" : user).string(userId)
                .string(query).number(toplevel).number(comparable ? 1 : 0).counters(present, delta).counters(present, total)
                .number(delta[CALLS] == 0 ? 0 : delta[TIME] / delta[CALLS]).number(now[CALLS] == 0 ? 0 : now[TIME] / now[CALLS])
                .nullable(shortest).nullable(longest);
            context.forward(record.withValue(writer.done()));
        }

        /** Length of the engine, its version, the role and the identity of the instance. */
        static int describesEnd(byte[] value, int from) {
            Avro at = new Avro(value, from);
            for (int text = 0; text < 4; text++) at.string();
            for (int nullable = 0; nullable < 3; nullable++) at.nullable();
            return at.at - from;
        }

        static double rate(long[] delta) {
            double mean = delta[CALLS] == 0 ? 0 : (double) (delta[TIME] / delta[CALLS]);
            if (mean > 100_000e6 || delta[TIME] > 100_000_000_000L) return 100;
            if (delta[READ] > 550) return 50;
            if (delta[WRITTEN] > 1000 || delta[TEMPORARY] > 0) return 100;
            if (delta[READ_TIME] + delta[WRITE_TIME] > 100_000_000_000L) return 100;
            return delta[ROWS] > 100_000 || delta[WAL] > 1_000_000 ? 100 : 10;
        }

        byte[] state(long poll, long observedAt, int present, long[] now, long[] total) {
            return new Writer(out).number(poll).number(observedAt).number(present).present(present, now).present(present, total).done();
        }

        static long coin(byte[] id) {
            ByteBuffer parts = ByteBuffer.allocate(16 + 16 + SALT.length).order(ByteOrder.LITTLE_ENDIAN);
            parts.putLong(16).put(id).putLong(SALT.length).put(SALT);
            return murmur(parts.array()) >>> 8;
        }

        /** First half of MurmurHash3 x64 128 with seed 0. */
        static long murmur(byte[] bytes) {
            long c1 = 0x87c37b91114253d5L, c2 = 0x4cf5ad432745937fL, h1 = 0, h2 = 0;
            ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
            while (in.remaining() >= 16) {
                h1 ^= Long.rotateLeft(in.getLong() * c1, 31) * c2;
                h1 = (Long.rotateLeft(h1, 27) + h2) * 5 + 0x52dce729;
                h2 ^= Long.rotateLeft(in.getLong() * c2, 33) * c1;
                h2 = (Long.rotateLeft(h2, 31) + h1) * 5 + 0x38495ab5;
            }
            long k1 = 0, k2 = 0;
            for (int place = 0; in.hasRemaining(); place++) {
                long next = in.get() & 0xffL;
                if (place < 8) k1 |= next << 8 * place;
                else k2 |= next << 8 * (place - 8);
            }
            h1 ^= Long.rotateLeft(k1 * c1, 31) * c2 ^ bytes.length;
            h2 ^= Long.rotateLeft(k2 * c2, 33) * c1 ^ bytes.length;
            h1 += h2;
            h2 += h1;
            h1 = avalanche(h1);
            h2 = avalanche(h2);
            return h1 + h2;
        }

        static long avalanche(long word) {
            word = (word ^ word >>> 33) * 0xff51afd7ed558ccdL;
            word = (word ^ word >>> 33) * 0xc4ceb9fe1a85ec53L;
            return word ^ word >>> 33;
        }
    }

    /** Reads Avro's binary encoding. */
    static class Avro {
        final byte[] bytes;
        int at;

        Avro(byte[] bytes, int at) {
            this.bytes = bytes;
            this.at = at;
        }

        long number() {
            long value = 0;
            for (int shift = 0; ; shift += 7) {
                byte next = bytes[at++];
                value |= (next & 0x7fL) << shift;
                if (next >= 0) return value >>> 1 ^ -(value & 1);
            }
        }

        Long nullable() {
            return number() == 0 ? null : (Long) number();
        }

        String string() {
            int length = (int) number();
            at += length;
            return new String(bytes, at - length, length, StandardCharsets.UTF_8);
        }

        String nullableString() {
            return number() == 0 ? null : string();
        }

        int nullableFlag() {
            return number() == 0 ? -1 : bytes[at++];
        }

        byte[] bytes(int length) {
            at += length;
            return java.util.Arrays.copyOfRange(bytes, at - length, at);
        }

        void map() {
            for (long entries = number(); entries != 0; entries = number()) {
                for (long entry = 0; entry < entries * 2; entry++) string();
            }
        }
    }

    /** Writes it. */
    static class Writer {
        final byte[] bytes;
        int at;

        Writer(byte[] bytes) {
            this.bytes = bytes;
        }

        Writer number(long value) {
            value = value << 1 ^ value >> 63;
            for (; (value & ~0x7fL) != 0; value >>>= 7) bytes[at++] = (byte) (value | 0x80);
            bytes[at++] = (byte) value;
            return this;
        }

        Writer nullable(Long value) {
            return value == null ? number(0) : number(1).number(value);
        }

        Writer real(double value) {
            ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putDouble(at, value);
            at += 8;
            return this;
        }

        Writer string(String text) {
            byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
            return number(encoded.length).raw(encoded, 0, encoded.length);
        }

        Writer raw(byte[] from, int start, int length) {
            System.arraycopy(from, start, bytes, at, length);
            at += length;
            return this;
        }

        Writer counters(int present, long[] values) {
            for (int field = 0; field < values.length; field++) {
                if ((present >> field & 1) == 1) number(1).number(values[field]);
                else number(0);
            }
            return this;
        }

        Writer present(int present, long[] values) {
            for (int field = 0; field < values.length; field++) {
                if ((present >> field & 1) == 1) number(values[field]);
            }
            return this;
        }

        byte[] done() {
            return java.util.Arrays.copyOf(bytes, at);
        }
    }
}
