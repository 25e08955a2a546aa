-- Small tables with the values that real databases have and copying programs forget. Fixed rows, the same for every seed.

CREATE TYPE "Odd Values".mood AS ENUM ('fine', 'so-so', 'it''s bad', '', '差');
CREATE TYPE "Odd Values".pair AS (label text, value numeric);

CREATE TABLE "Odd Values".numbers (
    id smallint PRIMARY KEY,
    exact numeric,
    scaled numeric(12, 4),
    single real,
    double double precision,
    whole bigint,
    price money
);
INSERT INTO "Odd Values".numbers VALUES
    (1, 'NaN', 'NaN', 'NaN', 'NaN', 9223372036854775807, '-92233720368547758.08'),
    (2, 'Infinity', 0, 'Infinity', 'Infinity', -9223372036854775808, '92233720368547758.07'),
    (3, '-Infinity', -0.0001, '-Infinity', '-Infinity', 0, 0),
    (4, 3.30, 3.30, '-0', '-0', 1, 3.30),
    (5, 3.3, 3.3, '0', '0', -1, '3.3'),
    (6, 0.00000000000000000000000000000000000000000000000001, 99999999.9999, 1.17549435e-38, 5e-324, NULL, NULL),
    (7, repeat('9', 200)::numeric + 0.5, NULL, 3.4028235e38, 1.7976931348623157e308, NULL, '-0.01'),
    (8, 100.000000000000000000, 0, 0.1, 0.1, 10, 1e6::numeric::money),
    (9, NULL, NULL, NULL, 0.30000000000000004, NULL, NULL);

CREATE TABLE "Odd Values".times (
    id smallint PRIMARY KEY,
    day date,
    clock time without time zone,
    clock_zone time with time zone,
    local timestamp without time zone,
    instant timestamp with time zone,
    span interval
);
INSERT INTO "Odd Values".times VALUES
    (1, 'infinity', '24:00', '24:00-12', 'infinity', 'infinity', '1 year -2 mons +3 days -04:05:06.789'),
    (2, '-infinity', '00:00', '00:00+14', '-infinity', '-infinity', '-178000000 years'),
    (3, '0044-03-15 BC', '23:59:59.999999', '12:00+08:30', '0044-03-15 12:00 BC', '0044-03-15 12:00+00 BC', '-0.000001 seconds'),
    (4, '4713-01-01 BC', '12:34:56.1', '12:34:56.10+01:02:03', '4713-01-01 00:00 BC', '4713-01-01 00:00+00 BC', '25:00'),
    (5, '5874897-12-31', NULL, NULL, '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '1 day'),
    (6, '0001-01-01', NULL, NULL, '0001-01-01 00:00', '1900-12-31 15:54:17+00', '24 hours'),
    (7, '1986-05-04', '02:30', '02:30+09', '1986-05-04 02:30', '1991-09-15 00:30+08', '0');

CREATE TABLE "Odd Values".texts (
    id smallint PRIMARY KEY,
    value text,
    padded character(6),
    short character varying(8),
    system name,
    letter "char"
);
INSERT INTO "Odd Values".texts VALUES
    (1, NULL, NULL, NULL, NULL, NULL),
    (2, '', '', '', '', ''),
    (3, '\N', '\N', '\N', '\N', '\'),
    (4, '\\N', ' x', 'x ', 'NULL', 'N'),
    (5, E'\\.', 'ab', '\.', '\.', '.'),
    (6, E'first\nsecond\n\\.\nlast', E'a\nb', E'\t', 'a b', ' '),
    (7, E'windows\r\nline\rold mac', '"', '""', '"', '"'),
    (8, E'tab\there\\tno tab \x01\x02\x1f\x7f', ',', ',,', ',', ','),
    (9, 'quote " and ''single'' and `back` and \ and \\ and %s %% {0} $1 :name', '''', '''''', '''', ''''),
    (10, '表情😀👨‍👩‍👧‍👦🇨🇳 生僻字𠮷㐂䶮', '生僻字𠮷', '王·买买提', '中文名', NULL),
    (11, E'e\u0301 is not é; \u200bzero\u200bwidth; \ufeffbom; \u202eright to left\u202c; nbsp:\u00a0.', 'é', E'e\u0301', NULL, NULL),
    (12, '  leading and trailing  ', '  pad ', ' ', NULL, NULL),
    (13, '<script>alert(1)</script>&amp;', '=1+1', '@SUM', NULL, NULL),
    (14, 'null', 'NULL', 'None', 'nan', NULL),
    (15, '2019-01-01', '007', '1e5', 't', 't');

CREATE TABLE "Odd Values".arrays (
    id smallint PRIMARY KEY,
    whole integer[],
    grid integer[][],
    words text[],
    moods "Odd Values".mood[],
    pairs "Odd Values".pair[],
    amounts numeric(10, 2)[],
    days date[],
    single "Odd Values".pair
);
INSERT INTO "Odd Values".arrays VALUES
    (1, '{1,NULL,3}', '{{1,2},{3,NULL}}', '{"",NULL,"NULL","a,b","{x}","q\"t","back\\slash","\\N"}', '{fine,"",差,"it''s bad"}',
     ARRAY[('a,b', 1.50)::"Odd Values".pair, NULL, ('', NULL)::"Odd Values".pair, (NULL, 'NaN')::"Odd Values".pair],
     '{3.30,NaN,-0.01}', '{infinity,"0044-03-15 BC"}', ('say "hi"', 1.10)),
    (2, '[0:2]={7,NULL,9}', '[-1:0][5:6]={{1,2},{3,4}}', '[3:4]={中文,😀}', '[0:0]={so-so}', '{}', '{}', '{}', (NULL, NULL)),
    (3, '{}', '{}', '{}', '{}', NULL, NULL, NULL, ('', 0)),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (5, '[-2:-2]={-2147483648}', '{{{1},{2}},{{3},{4}}}', E'{"line\nbreak","tab\there"," space "}', '{NULL}',
     ARRAY[(E'new\nline', 3.3)::"Odd Values".pair], '{99999999.99}', '{2020-02-29}', (E'tab\t, comma', 1e-20));

CREATE TABLE "Odd Values".ranges (
    id smallint PRIMARY KEY,
    whole int4range,
    exact numrange,
    days daterange,
    instants tstzrange,
    rates lending.rate_range,
    wholes int4multirange,
    many_days datemultirange
);
INSERT INTO "Odd Values".ranges VALUES
    (1, 'empty', 'empty', 'empty', 'empty', 'empty', '{}', '{}'),
    (2, '(,)', '(,)', '(,)', '(,)', '(,)', '{(,)}', '{(,)}'),
    (3, '[1,5]', '[1.10,5.500)', '[2020-01-01,infinity]', '["2020-01-01 00:00+00","infinity")', '(0.050,0.10]',
     '{[1,3),[5,9)}', '{[2019-01-01,2019-12-31],[2021-01-01,)}'),
    (4, NULL, '(,NaN]', '[-infinity,2000-01-01)', '("0044-03-15 00:00+00 BC",)', NULL, NULL, NULL);

CREATE TABLE "Odd Values".documents (
    id smallint PRIMARY KEY,
    kept json,
    parsed jsonb,
    path jsonpath
);
INSERT INTO "Odd Values".documents VALUES
    (1, '{"a" : 1,   "a": 2, "b":[ 1.10, 1.1,1e2 ]  }', '{"b": [1.10, 1.1, 1e2], "a": 2}', '$.a[*] ? (@ > 1)'),
    (2, '"\u0000 only json keeps this"', '"中文\t\"quoted\" \\ 😀"', '$'),
    (3, 'null', 'null', 'strict $."key with space"'),
    (4, NULL, NULL, NULL),
    (5, E'\n{\n\t"deep": {"er": {"est": []}}\n}\n', '{"": "", " ": null, "n": 12345678901234567890.123456789012345678900}', 'lax $.**'),
    (6, '[]', '[{}, [], "", 0, -0, false, null]', '$[0 to last]');

CREATE TABLE "Odd Values".networks (
    id uuid PRIMARY KEY,
    host inet,
    network cidr,
    mac macaddr,
    mac8 macaddr8
);
INSERT INTO "Odd Values".networks VALUES
    ('00000000-0000-0000-0000-000000000000', '192.0.2.1', '192.0.2.0/24', '00:00:5e:00:53:01', '00:00:5e:ff:fe:00:53:01'),
    ('ffffffff-ffff-ffff-ffff-ffffffffffff', '192.0.2.1/24', '0.0.0.0/0', 'ff:ff:ff:ff:ff:ff', '02:00:5e:10:00:00:00:01'),
    ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2001:db8::1', '2001:db8::/32', NULL, NULL),
    ('12345678-1234-4234-8234-123456789abc', '::ffff:192.0.2.128', '::1/128', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05');

CREATE TABLE "Odd Values".bits (id smallint PRIMARY KEY, fixed bit(11), varying bit varying, flags bit varying(5));
INSERT INTO "Odd Values".bits VALUES
    (1, B'00000000000', B'', B'1'), (2, B'11111111111', B'0000000000000000000000000000000001', B'00000'), (3, NULL, NULL, NULL);

CREATE TABLE "Odd Values".shapes (
    id smallint PRIMARY KEY, spot point, edge line, part lseg, frame box, way path, area polygon, ring circle
);
INSERT INTO "Odd Values".shapes VALUES
    (1, '(1,-0)', '{1,2,3}', '[(0,0),(1,1)]', '(2,2),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(0,1),(1,1))', '<(0,0),1.5>'),
    (2, '(Infinity,NaN)', '{0,-1,0.1}', '[(0.1,0.2),(0.3,0.4)]', '(1e300,1),(0,-1)', '((0,0),(3,4))', '((0.1,0.2))', '<(1,2),0>');

CREATE TABLE "Odd Values".system_types (id oid PRIMARY KEY, relation regclass, kind regtype, position pg_lsn, txn xid8);
INSERT INTO "Odd Values".system_types VALUES
    (1, 'lending.loans', 'lending.place', '16/B374D848', '42'),
    (4294967295, '"Odd Values".numbers', 'integer[]', '0/0', '18446744073709551615'), (3, NULL, NULL, NULL, NULL);

CREATE TABLE "Odd Values".searches (id smallint PRIMARY KEY, vector tsvector, query tsquery);
INSERT INTO "Odd Values".searches VALUES
    (1, '''a'':1A ''b c'':2B,3 ''it''''s'' ''贷款'':16383', '''a'' & !''b c'' | ''贷款'':*AB <-> ''x'''), (2, '', ''), (3, NULL, NULL);

-- Pseudo-random hexadecimal does not compress away: 5 MB stay 5 MB.
CREATE TABLE "Odd Values".big_values (id smallint PRIMARY KEY, long_text text, long_bytes bytea);
INSERT INTO "Odd Values".big_values VALUES
    (1, (SELECT string_agg(encode(sha256(i::text::bytea), 'hex'), E'\n' ORDER BY i) FROM generate_series(1, 82000) AS i), NULL),
    (2, NULL, (SELECT string_agg(sha256(i::text::bytea), '' ORDER BY i) FROM generate_series(1, 164000) AS i)),
    (3, repeat('长文本', 700000), decode(repeat('00', 1000000), 'hex')),
    (4, '', ''), (5, NULL, NULL);

CREATE TABLE "Odd Values".no_key (label text, amount numeric, at timestamp with time zone);
INSERT INTO "Odd Values".no_key VALUES
    ('twice', 1.0, '2020-01-01 00:00+00'), ('twice', 1.0, '2020-01-01 00:00+00'), ('twice', 1.00, '2020-01-01 00:00+00'),
    (NULL, NULL, NULL), (NULL, NULL, NULL), (NULL, NULL, NULL), ('', NULL, NULL), ('', NULL, NULL), (E'\\N', NULL, NULL),
    ('ab', 1, NULL), ('a', 1, NULL), ('once', 'NaN', 'infinity');

CREATE TABLE "Odd Values".no_primary_key (code text NOT NULL CONSTRAINT code_is_unique UNIQUE, value text);
INSERT INTO "Odd Values".no_primary_key VALUES ('b', '2'), ('a', '1'), ('', 'empty code'), ('B', NULL), (' a', ''), ('\N', '\N');

CREATE TABLE "Odd Values".mixed_scripts (key text PRIMARY KEY, value text NOT NULL);
INSERT INTO "Odd Values".mixed_scripts
    SELECT key, 'value of ' || key FROM unnest(ARRAY['a', 'A', 'b', 'ä', E'a\u0308', 'z', 'Z', 'ß', 'ss', 'é', 'E', '9', '10', '-1', '_',
        '中', '国', '中国', '中 国', '你好', 'ключ', 'Ключ', 'مفتاح', 'かな', 'カナ', '𠮷', '吉', '😀', ' ', '', '\N', '"', '''', E'\n']) AS key;

CREATE TABLE "Odd Values".enum_date_key (mood "Odd Values".mood, day date, note text, PRIMARY KEY (mood, day));
INSERT INTO "Odd Values".enum_date_key VALUES
    ('差', 'infinity', NULL), ('差', '-infinity', ''), ('fine', '0044-03-15 BC', 'x'), ('', '2020-01-01', '\N'), ('so-so', '2020-01-01', 'y');

CREATE TABLE "Odd Values".nothing_yet (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text DEFAULT 'no''thing', since date);

CREATE TABLE "Odd Values".files (file_id integer PRIMARY KEY, title text NOT NULL, body oid);
SELECT lo_from_bytea(918001, (SELECT string_agg(sha256(('scan' || i)::bytea), '' ORDER BY i) FROM generate_series(1, 100000) AS i));
SELECT lo_from_bytea(918002, '\x00ff0a0d5c2e0a4e554c4c'), lo_create(918003), lo_from_bytea(918004, 'nothing refers to this one');
SELECT lo_put(918005, 3000000, 'a hole before this') FROM (SELECT lo_create(918005)) AS made;
INSERT INTO "Odd Values".files VALUES
    (1, '合同扫描件', 918001), (2, 'small', 918002), (3, 'empty', 918003), (4, 'none', NULL), (5, 'sparse', 918005), (6, 'gone', 918999);
COMMENT ON LARGE OBJECT 918001 IS 'contract scan (sample)';
GRANT SELECT ON LARGE OBJECT 918002 TO PUBLIC;

CREATE TABLE "Odd Values".events (id integer NOT NULL, what text, CONSTRAINT events_pkey PRIMARY KEY (id));
CREATE TABLE "Odd Values".events_archive (archived_on date) INHERITS ("Odd Values".events);
INSERT INTO "Odd Values".events VALUES (1, 'in the parent'), (2, 'in the parent');
INSERT INTO "Odd Values".events_archive VALUES (3, 'in the child', '2020-01-01'), (1, 'the same id in the child', NULL);

CREATE UNLOGGED TABLE "Odd Values".cache (key integer PRIMARY KEY, value jsonb);
INSERT INTO "Odd Values".cache VALUES (1, '{}'), (2, NULL);

CREATE TABLE "Odd Values".kept_rates (id integer PRIMARY KEY, rate numeric NOT NULL, gone integer);
ALTER TABLE "Odd Values".kept_rates DROP COLUMN gone, ADD COLUMN added numeric NOT NULL DEFAULT 7.70;
INSERT INTO "Odd Values".kept_rates (id, rate) VALUES (1, 0.10), (2, -5);
-- Rows that were there before the rule stay: the constraint is not valid for them.
ALTER TABLE "Odd Values".kept_rates ADD CONSTRAINT rate_positive CHECK (rate > 0) NOT VALID;

CREATE TABLE lending."MixedCase Table" (
    "Id" integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    "select" text DEFAULT 'from',
    "Quoted ""Name""" text,
    "50% off" numeric,
    "a.b" text,
    "with 'single'" text,
    "{brace} $1 %s" text,
    "空 格" text
);
INSERT INTO lending."MixedCase Table" VALUES
    (1, 'where', '"', 0.50, 'a.b', '''', '%s', ' '), (2, NULL, '', 50, NULL, '', '{}', '全角　空格');

CREATE TABLE lending."一个名字特别长的表用来检查六十三字节的上限" ("一个名字特别长的列用来检查六十三字节的上限" integer PRIMARY KEY);
INSERT INTO lending."一个名字特别长的表用来检查六十三字节的上限" VALUES (1), (2);
