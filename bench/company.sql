CREATE SCHEMA bench;
CREATE TABLE bench.customer (id bigint GENERATED ALWAYS AS IDENTITY, name text NOT NULL, document text NOT NULL,
  phone text, mail text, street text NOT NULL, born date, since timestamptz NOT NULL, income numeric(12,2),
  remark text);
CREATE TABLE bench.loan (id bigserial, customer_id bigint NOT NULL, amount numeric(12,2) NOT NULL,
  rate numeric(6,4) NOT NULL, begun date NOT NULL, months int NOT NULL, state text NOT NULL, purpose text);
CREATE TABLE bench.repayment (loan_id bigint NOT NULL, number int NOT NULL, due date NOT NULL, paid timestamptz,
  principal numeric(12,2) NOT NULL, interest numeric(12,2) NOT NULL, channel text NOT NULL);
CREATE TABLE bench.voucher (code text NOT NULL, customer_id bigint NOT NULL, at timestamptz NOT NULL, body jsonb,
  total numeric(14,2));
CREATE TABLE bench.entry (id bigserial, voucher_code text NOT NULL, account text NOT NULL, debit numeric(14,2),
  credit numeric(14,2), at timestamptz NOT NULL, remark text);
SELECT setseed(0.25);
INSERT INTO bench.customer (name, document, phone, mail, street, born, since, income, remark)
SELECT 'Customer ' || initcap(left(md5(i::text), 4)) || ' ' || (ARRAY['Li','Wang','Zhang','Liu','Chen'])[1 + i % 5],
  '11010119' || lpad((i * 7919 % 10000000000)::text, 10, '0'), '139' || lpad((i * 104729 % 100000000)::text, 8, '0'),
  'c' || i || '@mail.example', (ARRAY['人民路','解放路','中山路','建设路'])[1 + i % 4] || i % 999 || ' 号 building '
  || i % 37 || ' room ' || i % 1201, date '1950-01-01' + (random() * 20000)::int,
  timestamptz '2015-01-01 00:00Z' + random() * interval '9 years', round((random() * 90000)::numeric, 2),
  CASE WHEN i % 3 > 0 THEN 'spoke to the customer about instalment plan ' || i % 50 || ', call again in spring' END
FROM generate_series(1, {customer}::bigint) AS i;
INSERT INTO bench.loan (customer_id, amount, rate, begun, months, state, purpose)
SELECT 1 + i * 31 % {customer}, round((random() * 200000)::numeric, 2), round((random() * 0.2)::numeric, 4),
  date '2016-01-01' + (random() * 3000)::int, 6 * (1 + i % 10), (ARRAY['open','paid','late','sold'])[1 + i % 4],
  'purpose ' || i % 40 || ' of the usual list of purposes'
FROM generate_series(1, {loan}::bigint) AS i;
INSERT INTO bench.repayment
SELECT 1 + (i - 1) * {loan} / {repayment}, i, date '2016-01-01' + (i % 3000)::int,
  timestamptz '2016-01-01 00:00Z' + random() * interval '8 years', round((random() * 5000)::numeric, 2),
  round((random() * 500)::numeric, 2), (ARRAY['bank','cash','card','app'])[1 + i % 4]
FROM generate_series(1, {repayment}::bigint) AS i;
INSERT INTO bench.voucher
SELECT 'V-' || lpad((i * 7919 % 1000000007)::text, 10, '0') || '-' || i % 10, 1 + i * 17 % {customer},
  timestamptz '2016-01-01 00:00Z' + random() * interval '8 years',
  jsonb_build_object('kind', i % 12, 'clerk', 'clerk ' || i % 300, 'text', 'posting of the day ' || i % 365,
    'checked', i % 2 = 0, 'sum', round((random() * 9000)::numeric, 2), 'unit', 'branch ' || i % 60),
  round((random() * 90000)::numeric, 2)
FROM generate_series(1, {voucher}::bigint) AS i;
INSERT INTO bench.entry (voucher_code, account, debit, credit, at, remark)
SELECT 'V-' || lpad((n * 7919 % 1000000007)::text, 10, '0') || '-' || n % 10, (1001 + n % 5000)::text,
  round((random() * 9000)::numeric, 2), 0, timestamptz '2016-01-01 00:00Z' + random() * interval '8 years',
  'line ' || i % 20
FROM (SELECT i, 1 + i * 13 % {voucher} AS n FROM generate_series(1, {entry}::bigint) AS i) AS s;
ALTER TABLE bench.customer ADD PRIMARY KEY (id);
ALTER TABLE bench.loan ADD PRIMARY KEY (id);
ALTER TABLE bench.repayment ADD PRIMARY KEY (loan_id, number);
ALTER TABLE bench.voucher ADD PRIMARY KEY (code);
ALTER TABLE bench.entry ADD PRIMARY KEY (id);
CREATE INDEX ON bench.customer (document);
CREATE INDEX ON bench.loan (customer_id);
CREATE INDEX ON bench.repayment (due);
CREATE INDEX ON bench.voucher (customer_id, at);
CREATE INDEX ON bench.entry (voucher_code);
ALTER TABLE bench.loan ADD FOREIGN KEY (customer_id) REFERENCES bench.customer;
ALTER TABLE bench.repayment ADD FOREIGN KEY (loan_id) REFERENCES bench.loan;
ALTER TABLE bench.voucher ADD FOREIGN KEY (customer_id) REFERENCES bench.customer;
ALTER TABLE bench.entry ADD FOREIGN KEY (voucher_code) REFERENCES bench.voucher;
