magnum_add_test(metrics RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/metrics.c LINKS magnum_base)
magnum_add_test(metrics_doc RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/metrics_doc.c
  LINKS magnum_base)
