include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(create_body SOURCES ${CMAKE_CURRENT_LIST_DIR}/create_body.c LINKS magnum_api)
