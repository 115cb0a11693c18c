add_test(NAME unit/kubernetes_boot COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/kubernetes_boot.py
         ${CMAKE_SOURCE_DIR})
set_tests_properties(unit/kubernetes_boot PROPERTIES LABELS unit TIMEOUT 120)
