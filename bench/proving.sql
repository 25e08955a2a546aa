CREATE SCHEMA bench;
CREATE FUNCTION bench.person(i bigint) RETURNS TABLE (id bigint, name text, document text, phone text, card text,
  mail text, street text, born date, remark text) LANGUAGE sql IMMUTABLE AS $$
SELECT i, n.name, '990101' || to_char(b.born, 'YYYYMMDD') || lpad((i / 20011 % 1000)::text, 3, '0')
    || substr('0123456789X', (1 + i % 11)::int, 1),
  '100' || lpad((i * 104729 % 100000000)::text, 8, '0'), '990000' || lpad((i * 7919 % 10000000000000)::text, 13, '0'),
  'c' || i || '@mail.example',
  '示例省示例市' || (ARRAY['人民','解放','中山','建设'])[1 + i % 4] || '路' || i % 999 || '号' || i % 37 || '单元' || i % 1201 || '室',
  b.born, CASE i % 3 WHEN 0 THEN '客户' || n.name || '来电，要求更正还款日，约定' || i % 28 || '日联系，分期' || i % 50
    WHEN 1 THEN '号码错误，改打109 ' || i % 9000 || ' ' || i % 7000 || '，家属称' || n.name || '外出' END
FROM (SELECT date '1950-01-01' + (i * 7919 % 20011)::int AS born) AS b, (SELECT
  (ARRAY['王','李','张','刘','陈','杨','黄','赵','吴','周','徐','孙','马','朱','胡','郭','何','高','林','罗'])[1 + i % 20]
  || substr('伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰建国文斌', (1 + i / 20 % 30)::int, 1)
  || CASE WHEN i % 3 > 0 THEN substr('一海红梅燕玲飞鹏辉琳博宇浩轩晨雨欣怡佳俊凯婷雪倩慧峰亮波宁阳', (1 + i / 600 % 30)::int, 1)
     ELSE '' END AS name) AS n
$$;
CREATE TABLE bench.customer AS SELECT p.* FROM generate_series(1, {customer}::bigint) AS i, bench.person(i) AS p;
CREATE TABLE bench.call AS SELECT i AS id, p.id AS customer_id, p.name AS spoken_to, p.remark AS said,
    timestamptz '2016-01-01 00:00Z' + i % 2900000 * interval '83 seconds' AS at
FROM generate_series(1, {call}::bigint) AS i, bench.person(1 + i * 31 % {customer}) AS p;
CREATE TABLE bench.voucher AS SELECT 'V-' || lpad((i * 7919 % 1000000007)::text, 10, '0') || '-' || i % 10 AS code,
  1 + i * 17 % {customer} AS customer_id, jsonb_build_object('kind', i % 12, 'clerk', '经办人' || i % 300,
    'text', '入账日' || i % 365, 'checked', i % 2 = 0, 'sum', i % 900001 / 100.0, 'unit', '网点' || i % 60,
    'against', lpad((i * 104729 % 100000000000000)::text, 16, '6')) AS body, i % 9000001 / 100.0 AS total
FROM generate_series(1, {voucher}::bigint) AS i;
CREATE TABLE bench.repayment AS SELECT i AS id, 1 + i * 13 % {customer} AS customer_id, i % 60 AS number,
  date '2016-01-01' + (i % 3000)::int AS due, i % 500001 / 100.0 AS principal, i % 50001 / 100.0 AS interest,
  (ARRAY['bank','cash','card','app'])[1 + i % 4] AS channel
FROM generate_series(1, {repayment}::bigint) AS i;
ALTER TABLE bench.customer ADD PRIMARY KEY (id);
ALTER TABLE bench.call ADD PRIMARY KEY (id);
ALTER TABLE bench.voucher ADD PRIMARY KEY (code);
ALTER TABLE bench.repayment ADD PRIMARY KEY (id);
CREATE INDEX ON bench.customer (document);
CREATE INDEX ON bench.call (customer_id);
CREATE INDEX ON bench.voucher (customer_id);
CREATE INDEX ON bench.repayment (customer_id)
