CREATE SCHEMA bench;
CREATE TABLE bench.point (id bigint NOT NULL, at timestamptz NOT NULL, amount numeric(12,2) NOT NULL, kind text);
SELECT setseed(0.25);
INSERT INTO bench.point
SELECT i, timestamptz '2016-01-01 00:00Z' + random() * interval '8 years', round((random() * 5000)::numeric, 2),
  (ARRAY['bank','cash','card','app'])[1 + i % 4]
FROM generate_series(1, {point}::bigint) AS i;
ALTER TABLE bench.point ADD PRIMARY KEY (id);
