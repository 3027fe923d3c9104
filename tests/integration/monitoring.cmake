# Prometheus' own tool on the alert rules that ship: do they read, and does each fire when it should? The dashboard's JSON.
set(alert_rules ${PROJECT_SOURCE_DIR}/deploy/monitoring/mikeyd-alerts.yaml)
add_test(NAME alert_rules_read COMMAND promtool check rules ${alert_rules})
add_test(NAME alert_rules_fire COMMAND promtool test rules ${PROJECT_SOURCE_DIR}/tests/monitoring/alerts.yaml)
add_test(NAME dashboard_reads COMMAND jq -e ".panels | length > 0 and all(.[]; .title and (.targets | length > 0))"
    ${PROJECT_SOURCE_DIR}/deploy/monitoring/dashboard.json)
set_tests_properties(alert_rules_read alert_rules_fire dashboard_reads PROPERTIES LABELS integration)
