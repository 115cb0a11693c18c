magnum_add_test(trace RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/trace.c
  LINKS magnum_http_client magnum_config magnum_base)
