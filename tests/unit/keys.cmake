mikeyd_unit_test(test_door
    SOURCES keys/test_door.c keys/test_door_socket.c ../support/door_samples.c
    LIBS mikeyd_keys)
target_include_directories(test_door PRIVATE ../support)
add_library(mikeyd_peer STATIC keys/peer.c)
target_link_libraries(mikeyd_peer PUBLIC mikeyd_keys PRIVATE mikeyd_build)
mikeyd_unit_test(test_keys_port SOURCES keys/test_port.c keys/fixture.c LIBS mikeyd_peer mikeyd_keys)
mikeyd_unit_test(test_keys_group SOURCES keys/test_group.c keys/fixture.c LIBS mikeyd_peer mikeyd_keys)
mikeyd_unit_test(test_keys_inventory SOURCES keys/test_inventory.c LIBS mikeyd_keys)
mikeyd_thread_test(test_keys_threads SOURCES keys/thread_test.c LIBS mikeyd_peer mikeyd_keys)
