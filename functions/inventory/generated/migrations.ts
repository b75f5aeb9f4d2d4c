/** Generated from migrations/*.sql by `npm run generate`. Do not edit. */
import type { Migration } from '@stampede/shared/database/migrate.ts'

export const migrations: readonly Migration[] = [
  {
    name: '0001-stocks',
    sql: `-- Stock of a variant. available = on_hand - reserved. \`version\` counts every change; staff corrections must name the version they saw.
CREATE TABLE IF NOT EXISTS inventory_stocks (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  variant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  on_hand BIGINT NOT NULL DEFAULT 0,
  reserved BIGINT NOT NULL DEFAULT 0,
  low_stock_threshold BIGINT NOT NULL DEFAULT 100,
  version BIGINT NOT NULL DEFAULT 1,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, variant_id),
  CONSTRAINT inventory_stocks_sane CHECK (reserved >= 0 AND on_hand >= reserved)
) ENGINE = InnoDB;

-- A reservation lives once: reserved -> settled. confirmed units left the house, the rest (quantity - confirmed) went back.
CREATE TABLE IF NOT EXISTS inventory_reservations (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reservation_id VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  variant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  quantity BIGINT NOT NULL,
  confirmed BIGINT NULL,
  created_at DATETIME(3) NOT NULL,
  settled_at DATETIME(3) NULL,
  PRIMARY KEY (tenant_id, reservation_id),
  KEY inventory_reservations_variant (tenant_id, variant_id, settled_at)
) ENGINE = InnoDB;

-- Ledger: what changed a stock, by how much, and what it was afterwards. Never updated, never deleted.
CREATE TABLE IF NOT EXISTS inventory_movements (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  variant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  on_hand_change BIGINT NOT NULL,
  reserved_change BIGINT NOT NULL,
  on_hand_after BIGINT NOT NULL,
  reserved_after BIGINT NOT NULL,
  reference VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NULL,
  actor VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  reason VARCHAR(200) CHARACTER SET utf8mb4 NULL,
  at DATETIME(3) NOT NULL,
  KEY inventory_movements_variant (tenant_id, variant_id, id)
) ENGINE = InnoDB;

-- The stock of an activity. warm_up_begun_at is written before the sale is created in Redis, so that a crash in between can
-- never lead to a second, fresh sale once units may have been sold.
CREATE TABLE IF NOT EXISTS inventory_allocations (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  activity_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  variant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  quantity BIGINT NOT NULL,
  sold BIGINT NULL,
  returned BIGINT NULL,
  terms TEXT CHARACTER SET utf8mb4 NULL,
  starts_at DATETIME(3) NULL,
  ends_at DATETIME(3) NULL,
  warm_up_begun_at DATETIME(3) NULL,
  warmed_at DATETIME(3) NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, activity_id),
  KEY inventory_allocations_due (state, starts_at)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS inventory_outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  failed_at DATETIME(3) NULL,
  failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS inventory_inbox (
  source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (source, id),
  KEY inventory_inbox_received (received_at)
) ENGINE = InnoDB;
`,
  },
]
