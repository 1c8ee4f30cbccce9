-- The shop of the demo: what its workload reads and writes. Run once, as the superuser, in database `shop`.
CREATE TABLE customers (
    id integer PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL,
    phone text NOT NULL,
    card_number text NOT NULL
);
CREATE TABLE products (id integer PRIMARY KEY, name text NOT NULL, price_cents integer NOT NULL, stock integer NOT NULL);
CREATE TABLE orders (
    id bigserial PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    product_id integer NOT NULL REFERENCES products,
    quantity integer NOT NULL,
    status text NOT NULL,
    note text NOT NULL DEFAULT '',
    ordered_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_by_customer ON orders (customer_id, ordered_at);
CREATE TABLE shipments (id integer PRIMARY KEY, tracking_code text NOT NULL, order_id bigint NOT NULL, status text NOT NULL);
CREATE TABLE accounts (id integer PRIMARY KEY, balance_cents bigint NOT NULL);

-- Invented people with card numbers that payment providers publish for tests.
INSERT INTO customers
SELECT i, first || ' ' || last, lower(first) || '.' || lower(last) || i || '@example.com',
       '+49 30 5550' || lpad(i::text, 4, '0'),
       (ARRAY['4111111111111111', '5555555555554444', '378282246310005', '6011111111111117'])[1 + i % 4]
FROM generate_series(1, 2000) i,
     LATERAL (SELECT (ARRAY['Anna', 'Maria', 'Jonas', 'Chloe', 'Ravi', 'Mei'])[1 + i % 6] AS first,
                     (ARRAY['Kowalska', 'Silva', 'Weber', 'Martin', 'Patel', 'Chen', 'Okafor'])[1 + i % 7] AS last) names;
INSERT INTO products SELECT i, 'product ' || i, 100 + (i * 37) % 5000, 1000000 FROM generate_series(1, 300) i;
INSERT INTO orders (customer_id, product_id, quantity, status, note, ordered_at)
SELECT 1 + (i * 7) % 2000, 1 + (i * 13) % 300, 1 + i % 5, (ARRAY['new', 'paid', 'sent', 'returned'])[1 + i % 4],
       CASE WHEN i % 50 = 0 THEN 'asks for a refund' ELSE repeat('ok ', 20) END, now() - i * interval '1 minute'
FROM generate_series(1, 20000) i;
INSERT INTO shipments SELECT i, 'TR' || md5(i::text), 1 + i % 20000, 'on its way' FROM generate_series(1, 60000) i;
CREATE INDEX shipments_by_code ON shipments (tracking_code);
INSERT INTO accounts SELECT i, 100000 FROM generate_series(1, 10) i;
ALTER TABLE customers OWNER TO shop;
ALTER TABLE products OWNER TO shop;
ALTER TABLE orders OWNER TO shop;
ALTER TABLE shipments OWNER TO shop;
ALTER TABLE accounts OWNER TO shop;
ANALYZE;
