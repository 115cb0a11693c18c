include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(policy SOURCES ${CMAKE_CURRENT_LIST_DIR}/policy.c LINKS magnum_auth)
