-- What is added after the load: keys, indexes, sequences' positions, foreign keys, views, functions, triggers, rules, policies, grants.

ALTER TABLE lending.branches ADD PRIMARY KEY (branch_id), ADD CONSTRAINT branches_code_key UNIQUE (code);
ALTER TABLE lending.employees ADD PRIMARY KEY (employee_id), ADD UNIQUE (resident_id);
ALTER TABLE lending.customers ADD PRIMARY KEY (customer_id), ADD UNIQUE (public_id), ADD UNIQUE (resident_id);
ALTER TABLE lending.identity_documents ADD PRIMARY KEY (document_id);
ALTER TABLE lending.contacts ADD PRIMARY KEY (customer_id, contact_no);
ALTER TABLE lending.addresses ADD PRIMARY KEY (customer_id, kind);
ALTER TABLE lending.bank_cards ADD PRIMARY KEY (card_id), ADD UNIQUE (card_no), ADD UNIQUE (card_id, customer_id);
ALTER TABLE lending.credit_applications ADD PRIMARY KEY (application_id);
ALTER TABLE lending.loans ADD PRIMARY KEY (loan_id), ADD UNIQUE (contract_no), ADD UNIQUE (application_id);
ALTER TABLE lending.guarantors ADD PRIMARY KEY (loan_id, resident_id);
ALTER TABLE lending.instalments ADD PRIMARY KEY (loan_id, instalment_no);
ALTER TABLE lending.repayments ADD PRIMARY KEY (repayment_id, paid_on);
ALTER TABLE lending.repayment_reversals ADD PRIMARY KEY (repayment_id, paid_on);
ALTER TABLE lending.consents ADD PRIMARY KEY (consent_id);
ALTER TABLE lending.transfer_consents ADD PRIMARY KEY (consent_no);
ALTER TABLE lending.complaints ADD PRIMARY KEY (complaint_id);
ALTER TABLE lending.call_notes ADD PRIMARY KEY (note_id);
ALTER TABLE lending."客户备注" ADD PRIMARY KEY ("客户编号", "序号");
ALTER TABLE lending.device_logs ADD PRIMARY KEY (log_id);
ALTER TABLE lending.attachments ADD PRIMARY KEY (attachment_id);
ALTER TABLE "账务".vouchers ADD PRIMARY KEY (voucher_id);
ALTER TABLE "账务".voucher_lines ADD PRIMARY KEY (voucher_id, line_no);

CREATE INDEX contacts_mobile_idx ON lending.contacts (mobile);
CREATE INDEX customers_plain_name_idx ON lending.customers (lending.plain_name(name) text_pattern_ops);
CREATE INDEX customers_born_idx ON lending.customers ((born_on - '1970-01-01'::date) DESC) INCLUDE (sex);
CREATE INDEX customers_tags_idx ON lending.customers USING gin (tags);
CREATE INDEX customers_remark_idx ON lending.customers USING hash (remark) WHERE remark IS NOT NULL;
CREATE UNIQUE INDEX customers_business_code_idx ON lending.customers (business_code) WHERE business_code <> '';
CREATE INDEX complaints_search_idx ON lending.complaints USING gin (search);
CREATE INDEX applications_applied_idx ON lending.credit_applications USING brin (applied_at);
CREATE INDEX applications_customer_idx ON lending.credit_applications (customer_id);
CREATE INDEX loans_customer_idx ON lending.loans (customer_id) INCLUDE (status);
CREATE INDEX loans_overdue_idx ON lending.loans (officer_id, loan_id) WHERE status IN ('overdue', 'written_off');
CREATE INDEX repayments_instalment_idx ON lending.repayments (loan_id, instalment_no);
CREATE INDEX repayments_2024_cash_idx ON lending.repayments_2024 (amount) WHERE channel = '现金';
CREATE INDEX transfer_consents_customer_idx ON lending.transfer_consents (customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX device_logs_customer_idx ON lending.device_logs (customer_id);
CREATE UNIQUE INDEX "MixedCase Index" ON lending."MixedCase Table" ("Quoted ""Name""", "50% off" DESC NULLS LAST);
CREATE UNIQUE INDEX no_key_pairs ON "Odd Values".documents (id, (parsed ->> 'a')) NULLS NOT DISTINCT;
CREATE STATISTICS lending.loans_product_branch (dependencies, ndistinct) ON product_code, branch_id FROM lending.loans;
ALTER TABLE lending.customers ALTER COLUMN name SET STATISTICS 200;
ALTER TABLE lending.branches CLUSTER ON branches_code_key;
ALTER TABLE lending.consents REPLICA IDENTITY FULL;

SELECT setval(pg_get_serial_sequence('lending.branches', 'branch_id'), (SELECT max(branch_id) FROM lending.branches)),
    setval(pg_get_serial_sequence('lending.employees', 'employee_id'), (SELECT max(employee_id) FROM lending.employees)),
    setval(pg_get_serial_sequence('lending.customers', 'customer_id'), (SELECT max(customer_id) FROM lending.customers)),
    setval(pg_get_serial_sequence('lending.bank_cards', 'card_id'), (SELECT max(card_id) FROM lending.bank_cards)),
    setval(pg_get_serial_sequence('lending.credit_applications', 'application_id'),
        (SELECT max(application_id) FROM lending.credit_applications)),
    setval(pg_get_serial_sequence('lending.loans', 'loan_id'), (SELECT max(loan_id) FROM lending.loans)),
    setval('lending.repayment_id_seq', (SELECT max(repayment_id) FROM lending.repayments)),
    setval(pg_get_serial_sequence('lending.transfer_consents', 'consent_no'),
        (SELECT max(consent_no) FROM lending.transfer_consents)),
    setval(pg_get_serial_sequence('lending.complaints', 'complaint_id'), (SELECT max(complaint_id) FROM lending.complaints)),
    setval(pg_get_serial_sequence('lending.call_notes', 'note_id'), (SELECT max(note_id) FROM lending.call_notes)),
    setval(pg_get_serial_sequence('lending.device_logs', 'log_id'), (SELECT max(log_id) FROM lending.device_logs)),
    setval(pg_get_serial_sequence('lending.attachments', 'attachment_id'), (SELECT max(attachment_id) FROM lending.attachments)),
    setval(pg_get_serial_sequence('lending."MixedCase Table"', 'Id'), 2),
    setval('lending.contract_number_seq', 123456, true),
    setval('"账务"."倒序号"', -7, false);

ALTER TABLE lending.branches ADD CONSTRAINT branches_manager_fkey FOREIGN KEY (manager_id)
    REFERENCES lending.employees DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE lending.employees ADD FOREIGN KEY (branch_id) REFERENCES lending.branches,
    ADD CONSTRAINT employees_manager_fkey FOREIGN KEY (manager_id) REFERENCES lending.employees ON DELETE SET NULL;
ALTER TABLE lending.bank_cards ADD FOREIGN KEY (customer_id) REFERENCES lending.customers ON DELETE CASCADE;
ALTER TABLE lending.customers ADD FOREIGN KEY (branch_id) REFERENCES lending.branches,
    ADD CONSTRAINT customers_primary_card_fkey FOREIGN KEY (primary_card_id, customer_id)
        REFERENCES lending.bank_cards (card_id, customer_id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE lending.identity_documents ADD FOREIGN KEY (customer_id) REFERENCES lending.customers ON DELETE CASCADE;
ALTER TABLE lending.contacts ADD FOREIGN KEY (customer_id) REFERENCES lending.customers ON DELETE CASCADE;
ALTER TABLE lending.addresses ADD FOREIGN KEY (customer_id) REFERENCES lending.customers ON UPDATE CASCADE;
ALTER TABLE lending.credit_applications ADD FOREIGN KEY (customer_id) REFERENCES lending.customers,
    ADD FOREIGN KEY (product_code) REFERENCES lending.products;
ALTER TABLE lending.loans ADD FOREIGN KEY (application_id) REFERENCES lending.credit_applications,
    ADD FOREIGN KEY (customer_id) REFERENCES lending.customers, ADD FOREIGN KEY (product_code) REFERENCES lending.products,
    ADD FOREIGN KEY (branch_id) REFERENCES lending.branches, ADD FOREIGN KEY (officer_id) REFERENCES lending.employees,
    ADD CONSTRAINT term_allowed CHECK (term BETWEEN 1 AND 60);
ALTER TABLE lending.guarantors ADD FOREIGN KEY (loan_id) REFERENCES lending.loans;
ALTER TABLE lending.instalments ADD FOREIGN KEY (loan_id) REFERENCES lending.loans;
ALTER TABLE lending.repayments ADD FOREIGN KEY (loan_id, instalment_no) REFERENCES lending.instalments;
ALTER TABLE lending.repayment_reversals ADD FOREIGN KEY (repayment_id, paid_on) REFERENCES lending.repayments;
ALTER TABLE lending.consents ADD FOREIGN KEY (customer_id) REFERENCES lending.customers;
ALTER TABLE lending.transfer_consents ADD FOREIGN KEY (customer_id) REFERENCES lending.customers,
    ADD FOREIGN KEY (employee_id) REFERENCES lending.employees,
    ADD FOREIGN KEY (loan_id, guarantor_id) REFERENCES lending.guarantors,
    ADD CONSTRAINT of_one_person CHECK (num_nonnulls(customer_id, employee_id, loan_id) = 1),
    ADD CONSTRAINT guarantor_of_a_loan CHECK ((loan_id IS NULL) = (guarantor_id IS NULL));
ALTER TABLE lending.complaints ADD FOREIGN KEY (customer_id) REFERENCES lending.customers,
    ADD FOREIGN KEY (branch_id) REFERENCES lending.branches;
ALTER TABLE lending.call_notes ADD FOREIGN KEY (customer_id) REFERENCES lending.customers,
    ADD FOREIGN KEY (employee_id) REFERENCES lending.employees;
ALTER TABLE lending."客户备注" ADD CONSTRAINT "备注的客户" FOREIGN KEY ("客户编号") REFERENCES lending.customers;
ALTER TABLE lending.device_logs ADD FOREIGN KEY (customer_id) REFERENCES lending.customers;
ALTER TABLE "账务".vouchers ADD FOREIGN KEY (loan_id) REFERENCES lending.loans;
ALTER TABLE "账务".voucher_lines ADD FOREIGN KEY (voucher_id) REFERENCES "账务".vouchers,
    ADD FOREIGN KEY (account_code) REFERENCES "账务"."会计科目",
    ADD CONSTRAINT one_side_only CHECK ((debit = 0) <> (credit = 0));

CREATE VIEW lending.open_loans AS
    SELECT loan_id, customer_id, branch_id, principal, status FROM lending.loans WHERE status <> 'settled';
CREATE VIEW lending.overdue_customers WITH (security_barrier) AS
    SELECT c.customer_id, c.name, sum(l.principal) AS owed
    FROM lending.open_loans AS l JOIN lending.customers AS c USING (customer_id)
    WHERE l.status IN ('overdue', 'written_off') GROUP BY c.customer_id;
CREATE VIEW lending."客户概览" ("客户编号", "姓名", "Loans") AS
    SELECT c.customer_id, c.name, (SELECT count(*) FROM lending.loans AS l WHERE l.customer_id = c.customer_id)
    FROM lending.customers AS c;
CREATE VIEW lending.cash_products AS
    SELECT * FROM lending.products WHERE active WITH CASCADED CHECK OPTION;
CREATE RECURSIVE VIEW "账务"."科目树" (account_code, path) AS
    SELECT account_code, "科目名称" FROM "账务"."会计科目" WHERE parent_code IS NULL
    UNION ALL
    SELECT a.account_code, t.path || ' / ' || a."科目名称"
    FROM "账务"."会计科目" AS a JOIN "科目树" AS t ON a.parent_code = t.account_code;
CREATE MATERIALIZED VIEW lending.branch_products AS
    SELECT branch_id, product_code, count(*) AS loans, sum(principal) AS principal
    FROM lending.loans GROUP BY branch_id, product_code ORDER BY branch_id, product_code;
CREATE UNIQUE INDEX branch_products_key ON lending.branch_products (branch_id, product_code);
CREATE MATERIALIZED VIEW lending.branch_totals AS
    SELECT branch_id, sum(loans)::bigint AS loans, sum(principal) AS principal
    FROM lending.branch_products GROUP BY branch_id ORDER BY branch_id;
CREATE INDEX branch_totals_loans_idx ON lending.branch_totals (loans);
CREATE MATERIALIZED VIEW "账务"."未刷新" AS SELECT account_code FROM "账务"."会计科目" WITH NO DATA;

CREATE FUNCTION lending.owed(customer bigint, OUT loans bigint, OUT principal numeric) LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT count(*), coalesce(sum(l.principal), 0) FROM lending.open_loans AS l WHERE l.customer_id = owed.customer;
    END;
CREATE FUNCTION lending.remember_status() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO lending.loan_events (loan_id, old_status, new_status)
    VALUES (NEW.loan_id, CASE TG_OP WHEN 'UPDATE' THEN OLD.status END, NEW.status);
    RETURN NEW;
END
$body$;
CREATE FUNCTION lending.clean_mobile() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.mobile := regexp_replace(NEW.mobile, '[^0-9]', '', 'g');  -- a "quoted" $word$ in here is text
    RETURN NEW;
END
$body$;
CREATE FUNCTION "账务"."借贷必须平衡"() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF (SELECT sum(debit) <> sum(credit) FROM "账务".voucher_lines WHERE voucher_id = coalesce(NEW.voucher_id, OLD.voucher_id)) THEN
        RAISE EXCEPTION 'voucher is out of balance' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$body$;
CREATE PROCEDURE lending.settle(loan bigint) LANGUAGE sql AS
    $$UPDATE lending.loans SET status = 'settled' WHERE loan_id = loan$$;
CREATE FUNCTION lending.keep_last(state text, next text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT coalesce(next, state)$$;
CREATE AGGREGATE lending.last_text(text) (SFUNC = lending.keep_last, STYPE = text);

CREATE TRIGGER remember_status AFTER INSERT OR UPDATE OF status ON lending.loans
    FOR EACH ROW EXECUTE FUNCTION lending.remember_status();
CREATE TRIGGER clean_mobile BEFORE INSERT OR UPDATE ON lending.customers
    FOR EACH ROW WHEN (NEW.mobile IS NOT NULL) EXECUTE FUNCTION lending.clean_mobile();
CREATE TRIGGER clean_contact BEFORE INSERT ON lending.contacts FOR EACH ROW EXECUTE FUNCTION lending.clean_mobile();
ALTER TABLE lending.contacts DISABLE TRIGGER clean_contact;
ALTER TABLE lending.customers ENABLE ALWAYS TRIGGER clean_mobile;
CREATE CONSTRAINT TRIGGER "平衡" AFTER INSERT OR UPDATE OR DELETE ON "账务".voucher_lines
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "账务"."借贷必须平衡"();
CREATE RULE kept AS ON DELETE TO "Odd Values".kept_rates DO INSTEAD NOTHING;
CREATE RULE new_product AS ON INSERT TO lending.cash_products DO INSTEAD
    INSERT INTO lending.products (product_code, product_no, name, amounts, terms)
    VALUES (NEW.product_code, NEW.product_no, NEW.name, NEW.amounts, NEW.terms);

ALTER TABLE lending.complaints ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_branch ON lending.complaints TO PUBLIC
    USING (branch_id::text = current_setting('sample.branch', true));
CREATE POLICY no_backdating ON lending.complaints AS RESTRICTIVE FOR INSERT WITH CHECK (opened_at > '2019-01-01 00:00+00');

GRANT USAGE ON SCHEMA lending TO PUBLIC;
GRANT SELECT ON lending.sample_notice, lending.complaints, lending."客户概览" TO PUBLIC;
GRANT SELECT (branch_id, name), UPDATE (name) ON lending.branches TO PUBLIC;
GRANT USAGE ON SEQUENCE lending.contract_number_seq TO PUBLIC;
REVOKE EXECUTE ON FUNCTION lending.owed(bigint) FROM PUBLIC;
REVOKE USAGE ON TYPE lending.place FROM PUBLIC;

COMMENT ON SCHEMA lending IS 'Generated sample data of a microloan company that does not exist; no person in it is real.';
COMMENT ON SCHEMA "账务" IS '示例数据：会计凭证（程序生成，非真实）';
COMMENT ON SCHEMA "Odd Values" IS 'Generated sample data: values and objects that make copying hard.';
COMMENT ON TABLE lending.customers IS 'Sample customers. It''s "quoted", has a \backslash
and a second line.';
COMMENT ON COLUMN lending.customers.resident_id IS '公民身份号码（示例，未分配的区划代码）';
COMMENT ON COLUMN lending."MixedCase Table"."50% off" IS '50 % off';
COMMENT ON INDEX lending.loans_overdue_idx IS 'for the collection team';
COMMENT ON CONSTRAINT term_allowed ON lending.loans IS 'one month to five years';
COMMENT ON TYPE lending.loan_status IS 'where a loan stands';
COMMENT ON DOMAIN lending.amount IS 'yuan, two decimals';
COMMENT ON FUNCTION lending.owed(bigint) IS 'open loans of a customer';
COMMENT ON TRIGGER "平衡" ON "账务".voucher_lines IS '有借必有贷，借贷必相等';
COMMENT ON POLICY own_branch ON lending.complaints IS 'a branch sees its own complaints';
COMMENT ON VIEW lending.open_loans IS 'not settled';
COMMENT ON MATERIALIZED VIEW lending.branch_totals IS 'refresh after branch_products';
COMMENT ON SEQUENCE lending.contract_number_seq IS 'owned by no table';
