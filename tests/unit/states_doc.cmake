magnum_add_test(states_doc RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/states_doc.c
  LINKS magnum_operation magnum_model magnum_base)
