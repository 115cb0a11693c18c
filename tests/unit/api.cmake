foreach(part IN ITEMS text requests rules label_rules)
  magnum_add_test(api_${part} RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/api_${part}.c LINKS magnum_api)
endforeach()
