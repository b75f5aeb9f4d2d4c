/** Generated from migrations/*.sql by `npm run generate`. Do not edit. */
import type { Migration } from '@stampede/shared/database/migrate.ts'

export const migrations: readonly Migration[] = [
  {
    name: '0001-orders',
    sql: `-- The sale's share of stock and its terms, as the order function guards them: sold + n <= allocated is the last word on overselling.
CREATE TABLE IF NOT EXISTS order_allocations (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  activity_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  variant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  allocated INT UNSIGNED NOT NULL,
  sold INT UNSIGNED NOT NULL DEFAULT 0,
  per_user_limit SMALLINT UNSIGNED NOT NULL,
  price_cents BIGINT UNSIGNED NOT NULL,
  currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payment_timeout_seconds INT UNSIGNED NOT NULL,
  starts_at DATETIME(3) NOT NULL,
  ends_at DATETIME(3) NOT NULL,
  state ENUM('open', 'closed', 'cancelled', 'settled') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'open',
  closed_at DATETIME(3) NULL,
  -- Counts up with every change of the terms or the state, never with sold: writers may keep the terms in memory and check this.
  terms_version INT UNSIGNED NOT NULL DEFAULT 1,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, activity_id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS order_orders (
  order_number CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  activity_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  quantity SMALLINT UNSIGNED NOT NULL,
  amount_cents BIGINT UNSIGNED NOT NULL,
  currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- New states go to the end: only that is a change without a rebuild.
  state ENUM('pending-payment', 'paid', 'shipped', 'delivered', 'completed', 'cancelled', 'refunding', 'refunded')
    CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'pending-payment',
  cancel_reason VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- When the sale accepted the purchase (from the order number), and when the order was stored.
  accepted_at DATETIME(3) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  pay_by DATETIME(3) NOT NULL,
  paid_at DATETIME(3) NULL,
  cancelled_at DATETIME(3) NULL,
  payment_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  version INT UNSIGNED NOT NULL DEFAULT 1,
  PRIMARY KEY (order_number),
  -- A buyer's orders, newest first, by keyset.
  KEY order_orders_user (tenant_id, user_id, order_number),
  -- The per-user limit and the totals of an activity from the index alone; pages of an activity.
  KEY order_orders_buyer (tenant_id, activity_id, user_id, order_number, state, quantity),
  -- What is due for cancellation.
  KEY order_orders_due (state, pay_by)
) ENGINE = InnoDB;

-- Accepted purchases that could not become orders: a message that comes again gets the same answer.
CREATE TABLE IF NOT EXISTS order_rejections (
  order_number CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  activity_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  quantity SMALLINT UNSIGNED NOT NULL,
  reason VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  rejected_at DATETIME(3) NOT NULL,
  PRIMARY KEY (order_number),
  KEY order_rejections_activity (tenant_id, activity_id, reason)
) ENGINE = InnoDB;

-- Every payment that was told to us, once, with what became of it.
CREATE TABLE IF NOT EXISTS order_payments (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payment_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  order_number CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  amount_cents BIGINT UNSIGNED NOT NULL,
  currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  outcome VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  paid_at DATETIME(3) NOT NULL,
  received_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, payment_id),
  KEY order_payments_order (order_number)
) ENGINE = InnoDB;

-- The history of an order after its creation, one row for each transition.
CREATE TABLE IF NOT EXISTS order_transitions (
  order_number CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  version INT UNSIGNED NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  from_state VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  to_state VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  actor VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reason VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  at DATETIME(3) NOT NULL,
  PRIMARY KEY (order_number, version)
) ENGINE = InnoDB;

-- Events of this function's transactions; shapes from the shared outbox and inbox.
CREATE TABLE IF NOT EXISTS order_outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  failed_at DATETIME(3) NULL,
  failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS order_inbox (
  source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (source, id),
  KEY order_inbox_received (received_at)
) ENGINE = InnoDB;
`,
  },
  {
    name: '0002-allocation-rejections',
    sql: `-- Most activities reject nothing: then no number has to be looked for among the rejections before its order is stored.
ALTER TABLE order_allocations ADD COLUMN has_rejections BOOLEAN NOT NULL DEFAULT FALSE AFTER closed_at;
UPDATE order_allocations SET terms_version = terms_version + 1, has_rejections = TRUE
  WHERE (tenant_id, activity_id) IN (SELECT tenant_id, activity_id FROM order_rejections);
`,
  },
]
