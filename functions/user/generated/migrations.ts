/** Generated from migrations/*.sql by `npm run generate`. Do not edit. */
import type { Migration } from '@stampede/shared/database/migrate.ts'

export const migrations: readonly Migration[] = [
  {
    name: '0001-users',
    sql: `-- People. name, email and phone are sealed with the row's own data key, which is sealed with a key of the ring: data_key_id says which.
-- An erased person stays as a row without any of it, so that nothing late brings data back.
CREATE TABLE IF NOT EXISTS user_users (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  version BIGINT NOT NULL,
  data_key VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
  data_key_id VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  name TEXT CHARACTER SET ascii COLLATE ascii_bin NULL,
  email TEXT CHARACTER SET ascii COLLATE ascii_bin NULL,
  email_at DATETIME(3) NULL,
  email_index VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin NULL,
  phone TEXT CHARACTER SET ascii COLLATE ascii_bin NULL,
  phone_at DATETIME(3) NULL,
  phone_index VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin NULL,
  index_key_id VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  locale VARCHAR(35) CHARACTER SET ascii COLLATE ascii_bin NULL,
  default_address_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  state_at DATETIME(3) NOT NULL,
  erasure_due_at DATETIME(3) NULL,
  PRIMARY KEY (tenant_id, user_id),
  KEY user_users_email (tenant_id, email_index),
  KEY user_users_phone (tenant_id, phone_index),
  KEY user_users_data_key (data_key_id, tenant_id, user_id),
  KEY user_users_index_key (index_key_id, tenant_id, user_id),
  KEY user_users_state_at (state_at),
  KEY user_users_erasure (erasure_due_at)
) ENGINE = InnoDB;

-- content: JSON sealed with the data key of the person.
CREATE TABLE IF NOT EXISTS user_addresses (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  address_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  content TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, user_id, address_id)
) ENGINE = InnoDB;

-- Sums of the events of coupon: addition does not mind their order, the inbox keeps repeats out.
CREATE TABLE IF NOT EXISTS user_coupon_statistics (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  issued BIGINT NOT NULL,
  redeemed BIGINT NOT NULL,
  returned BIGINT NOT NULL,
  expired BIGINT NOT NULL,
  redeemed_cents BIGINT NOT NULL,
  returned_cents BIGINT NOT NULL,
  last_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, user_id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS user_outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  failed_at DATETIME(3) NULL,
  failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS user_inbox (
  source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (source, id),
  KEY user_inbox_received (received_at)
) ENGINE = InnoDB;
`,
  },
]
