mikeyd_unit_test(test_client
    SOURCES client/peer.c client/calls.c client/faults.c client/pipelined.c client/threads.c client/wipe.c
    LIBS mikeyd_client)
target_include_directories(test_client PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})

# The shared library as a program of another language sees it.
find_program(CXX_COMPILER NAMES c++ g++ clang++)
if(CXX_COMPILER)
    add_test(NAME client_header_is_cxx
        COMMAND ${CXX_COMPILER} -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only
            -I${PROJECT_SOURCE_DIR}/include ${CMAKE_CURRENT_SOURCE_DIR}/client/header.cpp)
endif()
add_test(NAME client_exports
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/client/exports.sh $<TARGET_FILE:mikeyd_shared>
        ${PROJECT_SOURCE_DIR}/include/mikeyd/client.h)
