magnum_add_test(configuration_doc RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/configuration_doc.c
  LINKS magnum_base)
