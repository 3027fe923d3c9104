mikeyd_unit_test(test_door
    SOURCES keys/test_door.c keys/test_door_socket.c ../support/door_samples.c
    LIBS mikeyd_keys)
target_include_directories(test_door PRIVATE ../support)
