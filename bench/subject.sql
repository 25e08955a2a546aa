CREATE SCHEMA bench;
CREATE TABLE bench.subject (id {key} NOT NULL, name text NOT NULL, document text NOT NULL, phone text,
  street text NOT NULL, since timestamptz NOT NULL, income numeric(12,2), remark text);
SELECT setseed(0.25);
INSERT INTO bench.subject
SELECT {value}, 'Customer ' || left(md5(i::text), 12), '11010119' || lpad((i * 7919 % 10000000000)::text, 10, '0'),
  '139' || lpad((i * 104729 % 100000000)::text, 8, '0'), 'Long Street ' || i % 999 || ' building ' || i % 37,
  timestamptz '2015-01-01 00:00Z' + random() * interval '9 years', round((random() * 90000)::numeric, 2),
  'spoke to the customer about instalment plan ' || i % 50 || ', call again in spring or early in summer'
FROM generate_series(1, {subject}::bigint) AS i;
ALTER TABLE bench.subject ADD PRIMARY KEY (id);
CREATE INDEX ON bench.subject (document);
