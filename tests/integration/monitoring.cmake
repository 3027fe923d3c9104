# Prometheus' own tool on the alert rules that ship: do they read, and does each fire when it should?
set(alert_rules ${PROJECT_SOURCE_DIR}/deploy/monitoring/mikeyd-alerts.yaml)
add_test(NAME alert_rules_read COMMAND promtool check rules ${alert_rules})
add_test(NAME alert_rules_fire COMMAND promtool test rules ${PROJECT_SOURCE_DIR}/tests/monitoring/alerts.yaml)
set_tests_properties(alert_rules_read alert_rules_fire PROPERTIES LABELS integration)
