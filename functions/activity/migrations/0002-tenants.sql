-- One row for each tenant with a quota of activities: whoever creates one locks it, so that no two of them count together and both pass.
CREATE TABLE IF NOT EXISTS activity_tenants (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  locked_at DATETIME(3) NOT NULL
) ENGINE = InnoDB;
